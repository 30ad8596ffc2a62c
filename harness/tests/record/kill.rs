//! The recorder as a process: killed at any moment it leaves valid files; asked to stop, it says
//! what came of it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use firedrill::fixture::{Body, Fixture};
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use crate::recorder::Recorder;
use crate::rig::{client, serve};

/// Names, lengths and ages of what is in the folder.
fn look(folder: &Path) -> Vec<(String, u64, Option<std::time::SystemTime>)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut seen: Vec<_> = entries
        .filter_map(|e| {
            let meta = e.metadata().ok()?;
            Some((e.file_name().to_string_lossy().into_owned(), meta.len(), meta.modified().ok()))
        })
        .collect();
    seen.sort();
    seen
}

#[tokio::test]
async fn a_recorder_killed_at_any_moment_leaves_valid_files_and_loses_a_second_at_most() {
    const ROUNDS: u64 = 12;
    let page = "x".repeat(200_000);
    let vendor = serve(Router::new().route("/{n}", get(move || async move { page }))).await;
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut kept = 0;
    for round in 0..ROUNDS {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("notes");
        let mut recorder = Recorder::start(&vendor, out.path(), &[]);
        let own = recorder.own.clone();
        let (client, started) = (client(), Instant::now());
        let asking = tokio::spawn(async move {
            let mut answered = Vec::new();
            for n in 0.. {
                let Ok(answer) = client.get(format!("{own}/{n}")).send().await else { break };
                if answer.bytes().await.is_err() {
                    break;
                }
                answered.push(started.elapsed());
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            answered
        });
        tokio::time::sleep(Duration::from_millis(random.random_range(200..1700))).await;
        if round % 3 != 0 {
            // The worst moment is while it writes.
            let before = look(&folder);
            while look(&folder) == before && started.elapsed() < Duration::from_secs(5) {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
        recorder.child.kill().unwrap();
        let killed = started.elapsed();
        recorder.child.wait().unwrap();
        let answered = asking.await.unwrap();
        let mut found = 0;
        for (name, ..) in look(&folder) {
            if name.ends_with(".json") {
                let run = Fixture::read(&folder.join(&name)).unwrap_or_else(|e| panic!("round {round}: {e}"));
                assert!(
                    run.exchanges
                        .iter()
                        .all(|e| matches!(&e.response.body, Some(Body::Text(t)) if t.len() == 200_000))
                );
                found += run.exchanges.len();
            }
        }
        // Twice a second's promise, for a machine that does other things too.
        let owed = answered.iter().filter(|at| **at + Duration::from_secs(2) < killed).count();
        assert!(found >= owed, "round {round}: {found} on disk, {owed} were answered in time");
        kept += found;
    }
    assert!(kept > 0, "nothing was ever recorded, so nothing was tried");
}

#[tokio::test]
async fn an_interrupted_recorder_says_what_it_recorded_and_where() {
    let vendor = serve(Router::new().route("/a", get(|| async { "hello" }))).await;
    let out = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(&vendor, out.path(), &[]);
    let mut open = client().get(format!("{}/a", recorder.own)).send().await.unwrap();
    assert_eq!(open.chunk().await.unwrap().unwrap(), "hello");
    let (code, said) = recorder.interrupt();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("200  GET /a  5 bytes"), "{said}");
    assert!(said.contains("1 exchange recorded, 0 secrets taken out"), "{said}");
    let file = out.path().join("notes/run.json");
    assert!(said.contains(&format!("wrote {}", file.display())), "{said}");
    assert_eq!(Fixture::read(&file).unwrap().exchanges.len(), 1);

    // What is there is not written over.
    let again = Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .args(["record", "--vendor", "notes", "--name", "run", "--upstream", &vendor, "--out"])
        .arg(out.path())
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"));
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_before_anything_passes() {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut recorder = Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .args(["record", "--vendor", "notes", "--name", "run", "--upstream", "http://127.0.0.1:9", "--out"])
        .arg(&file)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut recorder.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(recorder.wait().unwrap().code(), Some(64), "{said}");
    assert!(said.contains("file/notes/run.json: cannot be written: "), "{said}");
    // Where it can, nothing is left of the trial.
    firedrill::fixture::Fixture::try_put(&out.path().join("new/notes/run.json")).unwrap();
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_hundred_megabytes_pass_in_bounded_memory() {
    const PIECES: usize = 100;
    let big = || async {
        let (send, receive) = tokio::sync::mpsc::channel::<bytes::Bytes>(1);
        tokio::spawn(async move {
            let piece = bytes::Bytes::from(vec![7; 1 << 20]);
            for _ in 0..PIECES {
                let _ = send.send(piece.clone()).await;
            }
        });
        axum::body::Body::new(crate::files::Pieces(receive))
    };
    let vendor = serve(Router::new().route("/big", get(big))).await;
    let out = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(&vendor, out.path(), &[]);
    let peak = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", recorder.child.id())).unwrap();
        let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    };
    let before = peak();
    let mut answer = client().get(format!("{}/big", recorder.own)).send().await.unwrap();
    let mut length = 0;
    while let Some(piece) = answer.chunk().await.unwrap() {
        length += piece.len();
    }
    assert_eq!(length, PIECES << 20);
    let grown = peak() - before;
    recorder.interrupt();
    assert!(grown < PIECES << 9, "{grown} kB more, half of the body, after {before} kB");
    let run = Fixture::read(&out.path().join("notes/run.json")).unwrap();
    let body = run.exchanges[0].response.body.as_ref();
    assert!(matches!(body, Some(Body::Omitted(o)) if o.length == (PIECES as u64) << 20), "{body:?}");
}
