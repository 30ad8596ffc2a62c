//! `firedrill record`: a recording proxy at work, and what it says.
//!
//! Knows: signals, the runtime, words. Must not know: how a recording is made.

use std::io;
use std::path::Path;

use super::ExitCode;
use super::args::Record;
use super::console::Console;
use super::keep::{held_back, kept_in_doubt};
use super::stopwatch;
use crate::fixture::{Fixture, Plain};
use crate::record::{Notice, Recording, Summary, Upstream};
use crate::report::{count, mistake};

/// Records until it is told to stop.
pub(super) fn record(args: &Record, console: &mut Console<'_>) -> io::Result<ExitCode> {
    let keep = &args.keep;
    let (rules, rules_file) = match keep.rules() {
        Ok(rules) => rules,
        Err(wrong) => {
            console.say(&mistake::render(&wrong));
            return Ok(ExitCode::Usage);
        }
    };
    let mut refuse = |message: String| {
        console.say(&format!("error: {message}\n"));
        Ok(ExitCode::Usage)
    };
    if let Some(mistake) = keep.mistake() {
        return refuse(mistake);
    }
    let upstream = Upstream::new(&args.upstream, args.ca.as_deref()).and_then(|u| u.check().map(|()| u));
    let upstream = match upstream {
        Ok(upstream) => upstream,
        Err(error) => return refuse(error.to_string()),
    };
    let now = stopwatch::now();
    let name = keep.name.clone().unwrap_or_else(|| now.strftime("%Y-%m-%d-%H%M%S").to_string());
    let file = Fixture::path(&keep.out, &keep.vendor, &name);
    if file.exists() {
        return refuse(format!("{} exists already; choose another --name, or remove it", file.display()));
    }
    // Better now than when the first exchange has passed.
    if let Err(error) = Fixture::try_put(&file) {
        return refuse(error.to_string());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = match runtime.block_on(tokio::net::TcpListener::bind(args.listen)) {
        Ok(listener) => listener,
        Err(error) => return refuse(format!("cannot listen on {}: {error}", args.listen)),
    };
    let origin = upstream.origin().to_owned();
    let head = Fixture {
        origin: format!("recorded from {origin}"),
        recorded: now.date(),
        plain: Plain::of(&rules),
        ..Fixture::default()
    };
    console.say(&format!(
        "firedrill: recording {origin} into {}\n\n    http://{}\n\n\
         Give this address to your client in place of {origin}. Ctrl-C ends the recording.\n\n",
        file.display(),
        listener.local_addr()?,
    ));
    let recording = Recording {
        upstream,
        head,
        file,
        rules,
        largest_body: keep.largest_body,
        uncompressed: args.uncompressed,
    };
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    let summary = runtime.block_on(async {
        let stop = stopped()?;
        let said = async {
            while let Some(notice) = receive.recv().await {
                say(console, &notice, &rules_file);
            }
        };
        tokio::join!(recording.run(listener, stop, send), said).0
    })?;
    Ok(finish(console, &summary, &rules_file))
}

/// Ends with Ctrl-C or SIGTERM.
fn stopped() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}

fn say(console: &mut Console<'_>, notice: &Notice, rules: &Path) {
    let line = match notice {
        Notice::Recorded { what, status, bytes, but } => {
            let but = but.as_ref().map(|b| format!("    {b}; length and SHA-256 are\n")).unwrap_or_default();
            format!("  {status}  {what}  {bytes} bytes\n{but}")
        }
        Notice::Skipped { what } => format!("    –  {what}  left out by a `skip` rule\n"),
        Notice::HeldBack(held) => return held_back(console, &held.what, &held.suspects, rules),
        Notice::NoAnswer { what, why } => format!("NOT RECORDED  {what}\n    {why}\n"),
        Notice::LinksLeft { what } => format!(
            "note: the compressed answer to {what} names the vendor's own address; a client that follows\n      \
             it leaves this proxy. --uncompressed asks the vendor for bodies that can be turned.\n"
        ),
        Notice::NotWritten(why) => format!("error: {why}; it is tried again\n"),
    };
    console.say(&line);
}

/// The last words, and the exit code.
fn finish(console: &mut Console<'_>, summary: &Summary, rules: &Path) -> ExitCode {
    let mut text = format!(
        "\nfiredrill: {} recorded, {} taken out\n",
        count(summary.recorded, "exchange"),
        count(summary.secrets, "secret")
    );
    for (n, what) in [
        (summary.omitted, "with a body that was not kept"),
        (summary.skipped, "left out by a `skip` rule"),
        (summary.unanswered, "without a whole answer, not recorded"),
        (summary.held_back.len(), "HELD BACK"),
    ] {
        if n > 0 {
            text += &format!("    {} {what}\n", count(n, "exchange"));
        }
    }
    for file in &summary.files {
        text += &format!("    wrote {}\n", file.display());
    }
    console.say(&text);
    kept_in_doubt(console, &summary.doubts, rules);
    if let Some(why) = &summary.not_written {
        console.say(&format!("error: {why}; the last exchanges are lost\n"));
        return ExitCode::Usage;
    }
    if !summary.held_back.is_empty() {
        console.say(&format!(
            "error: not everything is saved: add the rules above to {} and record again\n",
            rules.display()
        ));
        return ExitCode::Failed;
    }
    match summary.files.as_slice() {
        [] => {
            console.say("error: nothing was recorded\n");
            ExitCode::Unknown
        }
        [first, ..] => {
            let up = if first.is_relative() { Path::new("..") } else { Path::new("") };
            console.say(&format!(
                "replay it with a drill in a folder here, such as scenarios, that says\n    \
                 vendors: {{ alias: {{ vendor: {}, fixtures: {{ run: {} }} }} }}\n",
                first.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy(),
                up.join(first).display()
            ));
            ExitCode::Passed
        }
    }
}
