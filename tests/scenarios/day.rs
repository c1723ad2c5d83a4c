//! A scaled-down day: the curve, the outages and the rotation of the whole one, with fewer calls.

use trunkline_tests::simulation::day;

#[test]
fn a_day_places_what_comes_in_and_rings_nobody_twice() {
    let day = day::run(1, 2_000);
    assert!(day.holds(), "{:?}\n{day}", day.problem);
    assert_eq!(day.calls, 2_000);
    assert_eq!(day.calls, day.placed + day.rejected + day.unsent + day.ambiguous);
    // Nobody is lost for good: what was unknown is known at the end, and a rotation with an overlap refuses nobody.
    assert_eq!((day.ambiguous, day.rejected, day.refused_keys), (0, 0, 0));
    assert!(day.reconciled > 0, "the outage must leave calls of unknown outcome");
    assert!(day.callbacks > 2 * day.placed);
    let outage = &day.hours[10];
    assert!(outage.starts < outage.calls && day.hours.iter().all(|hour| hour.utilisation <= 101.0));
    assert_eq!(day, day::run(1, 2_000), "the same day again");
}
