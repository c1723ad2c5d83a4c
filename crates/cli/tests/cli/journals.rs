//! Journals that went wrong: no room, no place, from elsewhere, damaged. A clear error, nobody rung who cannot be noted, nobody twice.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use trunkline_simulator::Simulator;

use super::batch::{command, folder, number, rows};
use super::{Ran, Running, ran, simulator, trunkline};

const JOURNAL: &str = "calls.csv.journal";

fn batch(simulator: &Simulator, folder: &Path, more: &[&str]) -> Ran {
    ran(command(simulator, folder, more).output().unwrap())
}

fn look(folder: &Path, args: &[&str]) -> Ran {
    ran(trunkline(args).current_dir(folder).output().unwrap())
}

/// The same command under a limit of so many blocks of 512 bytes for each file: what is beyond cannot be written, by root neither.
#[cfg(unix)]
fn limited(blocks: u32, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""), "sh"]);
    limited
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.stdin(Stdio::null());
    limited
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_finds_no_room_rings_nobody_it_cannot_note() {
    let simulator = simulator().await;
    let folder = folder("no_room", &rows(60));
    let first = ran(limited(200, &command(&simulator, &folder, &[])).output().unwrap());
    let json = first.json();
    assert_eq!(first.code, 5, "{json} {}", first.stderr);
    assert!(first.stderr.contains("journal") && first.stderr.contains("disk"), "{}", first.stderr);
    let rung = simulator.book().calls;
    assert!((1..60).contains(&rung), "{rung} of 60: the limit fits some and not all");
    assert!(json["unsent"].as_u64() >= Some(1), "{json}");

    // Each of those who were rung is in the file, as placed or as open.
    let status = look(&folder, &["status", JOURNAL, "--json"]).json();
    let count = |name: &str| status[name].as_u64().unwrap();
    assert!(count("placed") + count("unknown") + count("under_way") >= rung, "{status}, {rung} rung");

    // There is room again: the rest is placed, and who was open is asked about or left alone.
    let second = batch(&simulator, &folder, &[]);
    let json = second.json();
    assert!(matches!(second.code, 0 | 4) && json["unsent"] == 0, "{json} {}", second.stderr);
    assert_eq!((simulator.book().calls, simulator.book().duplicates), (60, 0), "{json}");
    assert!((0..60).all(|n| simulator.times_rung(&number(n)) == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_cannot_be_written_is_told_before_anybody_is_rung() {
    let simulator = simulator().await;
    let folder = folder("no_place", &rows(2));
    fs::create_dir_all(folder.join("a_folder")).unwrap();
    for beside in ["locked.journal.lock", "logged.journal-wal"] {
        fs::create_dir_all(folder.join(beside)).unwrap();
    }
    for (journal, code, says) in [
        // A folder that cannot be written, by root neither.
        ("calls.csv/journal", 2, "folder"),
        ("a_folder", 2, "folder"),
        ("locked.journal", 2, "lock file"),
        ("logged.journal", 5, "the disk refused"),
    ] {
        let refused = batch(&simulator, &folder, &["--journal", journal]);
        assert_eq!(refused.code, code, "{journal}: {}", refused.stderr);
        let told = refused.stderr.contains(journal) && refused.stderr.contains(says);
        assert!(told, "{journal}: {}", refused.stderr);
    }
    assert_eq!(simulator.book().requests, 0);
    let after = batch(&simulator, &folder, &[]);
    assert_eq!((after.code, simulator.book().calls), (0, 2), "{}", after.stderr);
}

type Damage = fn(&mut Vec<u8>);

/// What is done to the bytes of a file, and what is said of it.
const DAMAGES: [(&str, Damage, &str); 9] = [
    ("a newer version", |bytes| bytes[63] = 99, "upgrade"),
    ("the file's mark", |bytes| bytes[3] ^= 0xff, "restore a backup"),
    ("the size of a page", |bytes| bytes[16] ^= 0xff, "restore a backup"),
    ("somebody else's database", |bytes| bytes[68] ^= 0xff, "something else"),
    ("the first page", |bytes| bytes[100..108].fill(0xff), "restore a backup"),
    ("the second page", |bytes| bytes[4096..4112].fill(0xff), "restore a backup"),
    ("half of the file", |bytes| bytes.truncate(bytes.len() / 2), "restore a backup"),
    ("the schema", |bytes| change(bytes, b"CREATE TABLE calls", b"CREXTE"), "restore a backup"),
    ("the word of a state", |bytes| change_last(bytes, b"settled", b"settlex"), "restore a backup"),
];

fn change(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let at = bytes.windows(from.len()).position(|part| part == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
}

fn change_last(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let at = bytes.windows(from.len()).rposition(|part| part == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
}

fn beside(folder: &Path, end: &str) -> std::path::PathBuf {
    folder.join(format!("{JOURNAL}{end}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_told_and_left_as_it_is() {
    let simulator = simulator().await;
    let folder = folder("damaged", &rows(20));
    assert_eq!(batch(&simulator, &folder, &[]).code, 0);
    let whole = fs::read(beside(&folder, "")).unwrap();
    assert!(!beside(&folder, "-wal").exists() || fs::metadata(beside(&folder, "-wal")).unwrap().len() == 0);
    let requests = simulator.book().requests;
    for (what, damage, says) in DAMAGES {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::write(beside(&folder, ""), &bytes).unwrap();
        let refused = batch(&simulator, &folder, &[]);
        assert_eq!(
            (refused.code, &refused.json()["field"]),
            (2, &"journal".into()),
            "{what}: {}",
            refused.stderr
        );
        let told = refused.stderr.contains(JOURNAL) && refused.stderr.contains(says);
        assert!(told, "{what}: {}", refused.stderr);
        // Readers look at less of it; what they refuse they tell the same way.
        for reader in ["status", "export"] {
            let looked = look(&folder, &[reader, JOURNAL]);
            let told = looked.code == 2 && looked.stderr.contains(&format!("journal: {JOURNAL}: "));
            assert!(told || looked.code == 0, "{what}: {reader}: {} {}", looked.code, looked.stderr);
        }
        assert!(fs::read(beside(&folder, "")).unwrap() == bytes, "{what}: the file was changed");
    }
    assert_eq!(simulator.book().requests, requests, "a request over a damaged journal");

    fs::write(beside(&folder, ""), &whole).unwrap();
    let again = batch(&simulator, &folder, &[]);
    assert_eq!((again.code, &again.json()["already"]), (0, &20.into()), "{}", again.stderr);
    assert_eq!((simulator.book().calls, simulator.book().duplicates), (20, 0));
}

/// What SQLite cannot see, since a log ends where it ends: some calls are forgotten. They go out again under their keys, and the provider,
/// which remembers them, rings nobody twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_end_rings_nobody_twice() {
    let losses: [(&str, Damage); 3] = [
        ("cut", |log| log.truncate(log.len() / 2)),
        ("changed", |log| log.iter_mut().skip(2000).step_by(4000).for_each(|byte| *byte ^= 0xff)),
        ("gone", Vec::clear),
    ];
    for (what, lose) in losses {
        let simulator = simulator().await;
        let folder = folder(&format!("log_{what}"), &rows(40));
        let child = command(&simulator, &folder, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut running = Running(child.unwrap());
        while simulator.book().calls < 20 {
            std::thread::yield_now();
        }
        running.0.kill().unwrap();
        running.0.wait().unwrap();
        let mut log = fs::read(beside(&folder, "-wal")).unwrap();
        assert!(log.len() > 10_000, "{what}: {} bytes", log.len());
        lose(&mut log);
        fs::write(beside(&folder, "-wal"), log).unwrap();

        let again = batch(&simulator, &folder, &[]);
        let json = again.json();
        assert!(matches!(again.code, 0 | 4), "{what}: {json} {}", again.stderr);
        let book = simulator.book();
        assert_eq!((book.duplicates, book.calls), (0, book.people), "{what}: {json}");
        // Nobody but those who are told as unknown is left out.
        assert!(book.people + json["ambiguous"].as_u64().unwrap() >= 40, "{what}: {json}");
        if what == "gone" {
            assert!(book.replays > 0, "nothing was forgotten: {json}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_journal_yet_is_told_so() {
    let simulator = simulator().await;
    let folder = folder("empty", &rows(1));
    fs::write(beside(&folder, ""), b"").unwrap();
    for reader in ["status", "export"] {
        let refused = look(&folder, &[reader, JOURNAL]);
        assert_eq!(refused.code, 2, "{}", refused.stdout);
        assert!(refused.stderr.contains("empty") && !refused.stderr.contains("SQL"), "{}", refused.stderr);
    }
    assert_eq!(batch(&simulator, &folder, &[]).code, 0);
    assert_eq!(look(&folder, &["status", JOURNAL, "--json"]).json()["placed"], 1);
}
