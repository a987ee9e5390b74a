from dtfl_app.rounds.directory import NodeDirectory


def directory():
    return NodeDirectory({7: "b", 3: "a", 5: "c"})


def test_sites_are_sorted_and_found_by_node_and_back():
    assert directory().sites == ["a", "b", "c"]
    assert directory().node("b") == 7
    assert (directory().site(5), directory().site(99)) == ("c", "node 99")


def test_a_site_whose_node_left_has_none_until_it_is_back():
    sites = directory()

    assert sites.refresh([3, 5]) == (["b"], [])
    assert sites.node("b") is None
    assert sites.refresh([3, 5]) == ([], [])
    assert sites.refresh([3, 5, 7]) == ([], ["b"])
    assert sites.node("b") == 7


def test_a_site_may_come_back_on_another_node():
    sites = directory()
    sites.refresh([3, 5, 11])

    assert sites.strangers() == [11]
    assert sites.welcome(11, "b") is None
    assert sites.node("b") == 11
    assert sites.strangers() == []
    assert sites.nodes == {11: "b", 3: "a", 5: "c"}


def test_a_site_that_did_not_enrol_is_turned_away_and_not_asked_again():
    sites = directory()
    sites.refresh([3, 5, 7, 11])

    assert "did not enrol" in sites.welcome(11, "z")
    assert sites.strangers() == []
    assert sites.sites == ["a", "b", "c"]


def test_a_second_node_of_a_site_waits_until_the_first_is_gone():
    sites = directory()
    sites.refresh([3, 5, 7, 11])

    assert "connected already" in sites.welcome(11, "b")
    assert sites.strangers() == []
    sites.refresh([3, 5, 11])
    assert sites.strangers() == [11]
    assert sites.welcome(11, "b") is None


def test_excused_and_absent_sites_are_not_due():
    sites = directory()
    sites.refresh([3, 5])
    sites.excuse(["a"])

    assert sites.due(["a", "b", "c"]) == [(5, "c")]
    sites.excuse([])
    assert sites.due(["c", "a"]) == [(5, "c"), (3, "a")]
