from dtfl_app.rounds.directory import NodeDirectory


def roster():
    return NodeDirectory({7: "b", 3: "a", 5: "c"})


def test_sites_are_sorted_and_found_by_node_and_back():
    assert roster().sites == ["a", "b", "c"]
    assert roster().node("b") == 7
    assert (roster().site(5), roster().site(99)) == ("c", "node 99")


def test_a_site_whose_node_left_has_none_until_it_is_back():
    people = roster()

    assert people.refresh([3, 5]) == (["b"], [])
    assert people.node("b") is None
    assert people.refresh([3, 5]) == ([], [])
    assert people.refresh([3, 5, 7]) == ([], ["b"])
    assert people.node("b") == 7


def test_a_site_may_come_back_on_another_node():
    people = roster()
    people.refresh([3, 5, 11])

    assert people.strangers() == [11]
    assert people.welcome(11, "b") is None
    assert people.node("b") == 11
    assert people.strangers() == []
    assert people.directory == {11: "b", 3: "a", 5: "c"}


def test_a_site_that_did_not_enrol_is_turned_away_and_not_asked_again():
    people = roster()
    people.refresh([3, 5, 7, 11])

    assert "did not enrol" in people.welcome(11, "z")
    assert people.strangers() == []
    assert people.sites == ["a", "b", "c"]


def test_a_second_node_of_a_site_waits_until_the_first_is_gone():
    people = roster()
    people.refresh([3, 5, 7, 11])

    assert "connected already" in people.welcome(11, "b")
    assert people.strangers() == []
    people.refresh([3, 5, 11])
    assert people.strangers() == [11]
    assert people.welcome(11, "b") is None
