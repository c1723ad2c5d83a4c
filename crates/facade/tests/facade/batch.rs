//! Batches over the simulator's real sockets: interrupted, run again, judged by its book.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use trunkline::batch::{Batch, BatchRun, BatchSettings, Columns, ResultsWriter, RowClass, RowResult};
use trunkline::keys::StaticKeys;
use trunkline::providers::ClaudeVoice;
use trunkline::{Account, AttemptJournal, Client, Clock, Journal, RetrySettings, SystemClock};
use trunkline_core_types::VirtualClock;
use trunkline_journal::MemoryJournal;
use trunkline_simulator::{Fault, Simulator, SimulatorBuilder};

use crate::peer::{self, Does, Peer};

fn file(rows: u32) -> String {
    let rows: String = (0..rows).map(|n| format!("{},hello\n", number(n))).collect();
    format!("to,say\n{rows}")
}

fn number(n: u32) -> String {
    format!("+1415555{n:04}")
}

fn batch(file: &str) -> Batch {
    Batch::csv(Cursor::new(file.to_owned()), Columns::new("test")).unwrap()
}

/// A process of its own: only the journal is shared.
fn client(sim: &Simulator, journal: &Journal) -> Client {
    let keys = StaticKeys::new(sim.api_key().into()).unwrap();
    let account = Account::new("main", ClaudeVoice::new(&sim.base_url()).unwrap(), keys).unwrap();
    let mut retry = RetrySettings::default();
    (retry.base, retry.max_tries) = (Duration::from_millis(5), 1);
    Client::builder(journal.clone()).account(account).retry(retry).build().unwrap()
}

fn quick() -> SimulatorBuilder {
    Simulator::builder()
}

async fn end(mut run: BatchRun) -> (BTreeMap<RowClass, u64>, Vec<RowResult>) {
    let mut results = Vec::new();
    while let Some(result) = run.next().await {
        results.push(result.unwrap());
    }
    let counts = RowClass::ALL.map(|class| (class, run.tally().count(class)));
    (counts.into_iter().filter(|(_, count)| *count > 0).collect(), results)
}

fn counts(pairs: &[(RowClass, u64)]) -> BTreeMap<RowClass, u64> {
    pairs.iter().copied().collect()
}

#[tokio::test]
async fn a_second_run_of_the_same_file_rings_nobody() {
    let sim = Simulator::start().await.unwrap();
    let journal = Journal::in_memory();
    let text = format!("{}4155550199,hello\n{},hello\n", file(20), number(3));
    let (first, results) =
        end(client(&sim, &journal).place_batch(batch(&text), BatchSettings::default())).await;
    assert_eq!(first, counts(&[(RowClass::Placed, 20), (RowClass::Input, 1), (RowClass::Duplicate, 1)]));
    let of = |line| results.iter().find(|result| result.line == line).unwrap();
    assert!(of(2).call.is_some() && of(22).field.as_deref() == Some("to") && of(22).key.is_none());
    assert_eq!(of(23).key, of(5).key);

    let (second, results) =
        end(client(&sim, &journal).place_batch(batch(&text), BatchSettings::default())).await;
    assert_eq!(second[&RowClass::Already], 20);
    assert!(
        results.iter().filter(|result| result.class == RowClass::Already).all(|result| result.call.is_some())
    );
    assert_eq!((sim.book().calls, sim.book().duplicates), (20, 0));
}

#[tokio::test]
async fn a_batch_that_is_dropped_goes_on_where_it_stopped() {
    for after in [0, 1, 7, 20, 39] {
        let sim = quick().start().await.unwrap();
        let journal = Journal::in_memory();
        let first = client(&sim, &journal).place_batch(batch(&file(40)), BatchSettings::default());
        let mut unknown = Vec::new();
        drop(first.take(after).collect::<Vec<_>>().await);

        let settings = BatchSettings::default();
        let (_, results) = end(client(&sim, &journal).place_batch(batch(&file(40)), settings)).await;
        unknown.extend(
            results.iter().filter(|result| result.class == RowClass::Ambiguous).map(|result| result.line),
        );
        for n in 0..40 {
            let (rung, open) = (sim.times_rung(&number(n)), unknown.contains(&(u64::from(n) + 2)));
            assert!(
                rung == 1 || rung == 0 && open,
                "{n} rung {rung} times, open {open}, dropped after {after}"
            );
        }
        assert_eq!((results.len(), sim.book().duplicates), (40, 0));
    }
}

#[tokio::test]
async fn a_batch_that_is_stopped_ends_its_calls_and_takes_no_more() {
    let sim = quick().start().await.unwrap();
    let (client, mut results) = (client(&sim, &Journal::in_memory()), Vec::new());
    let mut run = client.place_batch(batch(&file(2000)), BatchSettings::default());
    while let Some(result) = run.next().await {
        results.push(result.unwrap());
        if results.len() == 5 {
            run.stop();
        }
    }
    assert!(results.len() < 200 && run.under_way() == 0, "{}", results.len());
    assert!(results.iter().all(|result| result.class == RowClass::Placed));
    assert_eq!(sim.book().calls, results.len() as u64);
}

#[tokio::test]
async fn a_limit_counts_calls_and_not_what_was_settled() {
    let sim = Simulator::start().await.unwrap();
    let journal = Journal::in_memory();
    for (run, calls) in [(1, 10), (2, 20), (3, 25), (4, 25)] {
        let mut settings = BatchSettings::default();
        settings.limit = Some(10);
        end(client(&sim, &journal).place_batch(batch(&file(25)), settings)).await;
        assert_eq!(sim.book().calls, calls, "run {run}");
    }
}

#[tokio::test]
async fn an_unknown_row_is_dialled_again_only_on_demand() {
    let sim = Simulator::builder().ignore_idempotency().start().await.unwrap();
    let journal = Journal::in_memory();
    sim.fault_next(Fault::ResetBeforeActing);
    let (first, results) =
        end(client(&sim, &journal).place_batch(batch(&file(1)), BatchSettings::default())).await;
    assert_eq!(first, counts(&[(RowClass::Ambiguous, 1)]));
    assert!(results[0].error.is_some());
    for _ in 0..2 {
        let (again, _) =
            end(client(&sim, &journal).place_batch(batch(&file(1)), BatchSettings::default())).await;
        assert_eq!((again, sim.book().calls), (first.clone(), 0));
    }
    let mut settings = BatchSettings::default();
    settings.redial_unknown = true;
    let (redialled, _) = end(client(&sim, &journal).place_batch(batch(&file(1)), settings)).await;
    assert_eq!((redialled, sim.times_rung(&number(0))), (counts(&[(RowClass::Placed, 1)]), 1));
}

#[tokio::test]
async fn a_row_that_stays_unknown_is_dialled_again_once_a_run() {
    let sim = Simulator::start().await.unwrap();
    let journal = Journal::in_memory();
    let mut settings = BatchSettings::default();
    settings.redial_unknown = true;
    for creates in 1..4 {
        sim.fault_next(Fault::ResetBeforeActing);
        let run = client(&sim, &journal).place_batch(batch(&file(1)), settings.clone());
        assert_eq!(end(run).await.0, counts(&[(RowClass::Ambiguous, 1)]));
        assert_eq!(sim.book().creates, creates);
    }
}

#[tokio::test]
async fn an_edited_row_under_its_old_key_is_bad_input() {
    let sim = Simulator::start().await.unwrap();
    let journal = Journal::in_memory();
    for (text, class) in [("hello", RowClass::Placed), ("bye", RowClass::Input)] {
        let file = format!("to,say,key\n{},{text},a\n", number(1));
        let (counted, results) =
            end(client(&sim, &journal).place_batch(batch(&file), BatchSettings::default())).await;
        assert_eq!(counted, counts(&[(class, 1)]), "{results:?}");
    }
    assert_eq!(sim.book().calls, 1);
}

#[tokio::test]
async fn results_are_one_object_a_row() {
    let sim = Simulator::start().await.unwrap();
    let (_, results) = end(client(&sim, &Journal::in_memory())
        .place_batch(batch("to,say\nx,hello\n+14155550123,hello\n"), BatchSettings::default()))
    .await;
    let mut written = Vec::new();
    let mut writer = ResultsWriter::new(&mut written);
    results.iter().for_each(|result| writer.write(result).unwrap());
    let lines: Vec<serde_json::Value> =
        String::from_utf8(written).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&lines[0]["class"], &lines[0]["field"], &lines[0]["line"]),
        (&"input".into(), &"to".into(), &2.into())
    );
    assert_eq!((&lines[1]["class"], &lines[1]["error"]), (&"placed".into(), &serde_json::Value::Null));
    assert!(lines[1]["call"].as_str().unwrap().starts_with("main/call_"));
}

#[test]
fn a_results_line_that_was_cut_off_is_ended_first() {
    let path =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cut-{}.jsonl", std::process::id()));
    std::fs::write(&path, "{\"line\":2}\n{\"li").unwrap();
    drop(ResultsWriter::append(&path).unwrap());
    drop(ResultsWriter::append(&path).unwrap());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"line\":2}\n{\"li\n");
    let nowhere = ResultsWriter::append(std::path::Path::new("/nonexistent/results.jsonl")).unwrap_err();
    assert_eq!(nowhere.field(), Some("out"));
}

#[tokio::test]
async fn many_rows_share_one_key_and_one_call() {
    let sim = Simulator::start().await.unwrap();
    let journal = Arc::new(Journal::in_memory());
    let text = format!("to,say\n{}", format!("{},hello\n", number(1)).repeat(500));
    let (counted, _) = end(client(&sim, &journal).place_batch(batch(&text), BatchSettings::default())).await;
    assert_eq!(counted, counts(&[(RowClass::Placed, 1), (RowClass::Duplicate, 499)]));
}

#[tokio::test]
async fn a_batch_whose_account_is_refused_gives_up() {
    let sim = Simulator::start().await.unwrap();
    let client = client(&sim, &Journal::in_memory());
    sim.revoke(sim.api_key());
    let mut settings = BatchSettings::default();
    settings.give_up_after = 10;
    let mut run = client.place_batch(batch(&file(2000)), settings);
    while run.next().await.is_some() {}
    let rejected = run.tally().count(RowClass::Rejected);
    assert!(
        run.gave_up()
            && (10..100).contains(&rejected)
            && rejected + run.tally().count(RowClass::Unsent) == run.tally().total(),
        "{:?}",
        run.tally()
    );
}

#[tokio::test]
async fn an_unknown_row_can_be_asked_about_soon() {
    let sim = Simulator::start().await.unwrap();
    let store = Arc::new(MemoryJournal::new(Arc::new(SystemClock::new())));
    sim.fault_next(Fault::ResetBeforeActing);
    let mut settings = BatchSettings::default();
    settings.timeout = Some(Duration::from_secs(7));
    end(client(&sim, &Journal::custom(store.clone())).place_batch(batch(&file(1)), settings)).await;
    // The call might have waited a day for its permit; once it has it, its own time is what counts.
    let soon = SystemClock::new().wall() + Duration::from_secs(8);
    assert_eq!(store.open_calls(soon, None, 10).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_row_that_was_found_is_placed_already() {
    const FOUND: &str = r#"{"data":[{"call_id":"call_7","status":"ringing","timestamps":{"created":"2026-01-01T00:00:00Z"},"cost":0.015,"idempotency_key":"k"}],"has_more":false,"last_id":"call_7"}"#;
    const CALL: &str = r#"{"call_id":"call_7","status":"ringing","timestamps":{"created":"2026-01-01T00:00:00Z"},"cost":0.015}"#;
    let lost = [Does::Closes, Does::Closes, Does::Closes];
    let peer = Peer::new(lost.into_iter().chain([Does::Answers(200, FOUND), Does::Answers(200, CALL)]));
    let client = peer::client(&peer);
    let file = format!("to,say,key\n{},hello,k\n", number(1));
    let run = || end(client.place_batch(batch(&file), BatchSettings::default()));
    assert_eq!(run().await.0, counts(&[(RowClass::Ambiguous, 1)]));
    // The time of the call, not of its whole wait, and then the provider's delays.
    let clock = VirtualClock::new();
    clock.sleep_until(clock.now() + Duration::from_secs(100)).await;
    assert_eq!(client.reconciler().run_once(10).await.placed, 1);
    let (counted, results) = run().await;
    assert_eq!(counted, counts(&[(RowClass::Already, 1)]));
    assert_eq!((results[0].call.as_ref().unwrap().id.as_str(), peer.count()), ("call_7", 5));
}

#[tokio::test(start_paused = true)]
async fn rows_that_were_refused_before_do_not_use_up_the_limit() {
    const BARRED: &str =
        r#"{"type":"error","error":{"type":"invalid_request","message":"barred","param":"to"}}"#;
    let peer = Peer::new((0..9).map(|_| Does::Answers(400, BARRED)));
    let client = peer::client(&peer);
    for asked in [2, 4, 5, 5] {
        let mut settings = BatchSettings::default();
        settings.limit = Some(2);
        end(client.place_batch(batch(&file(5)), settings)).await;
        assert_eq!(peer.count(), asked);
    }
}
