from dtfl_app.core.logs import without_colours


def test_a_line_of_flowers_log_comes_without_its_colours():
    assert without_colours("\x1b[92mINFO \x1b[0m:      dtfl: cwa round 1/3") == (
        "INFO :      dtfl: cwa round 1/3"
    )
