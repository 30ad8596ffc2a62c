//! What a subject file may say by its schema and still cannot mean, as far as its text tells.
//!
//! Knows: placeholders, addresses, names of environment variables. Must not know: what is on this
//! machine's disk or network, or any one drill.

use super::nearest;
use super::program::{Piece, Program, ReadyWhen, SLOTS, Slot, Trigger, Unfilled, pieces};
use super::text::{Document, Mistake};

impl Document {
    /// What is wrong with a program that stands at `above` in the document.
    pub(super) fn review_program(&self, program: &Program, above: &[&str]) -> Result<(), Mistake> {
        let wrong = |path: &[&str], message: String| self.mistake_at(&[above, path].concat(), message);
        if program.command.is_empty() {
            return Err(wrong(&["command"], "`command` names no program".to_owned())
                .help("write the program and its arguments: [python3, app.py]"));
        }
        for (name, trigger) in &program.jobs {
            if matches!(trigger, Trigger::Run(words) if words.is_empty()) {
                return Err(wrong(&["jobs", name, "run"], "`run` names no program".to_owned())
                    .help("write the program and its arguments: [python3, sync.py]"));
            }
        }
        for name in program.env.keys() {
            if let Some(why) = no_variable(name) {
                let path = [above, &["env", name]].concat();
                return Err(self.mistake_at_key(&path, why).help(VARIABLE));
            }
        }
        for (path, text) in program.texts() {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            if text.contains('\0') {
                return Err(wrong(&path, "this text holds a NUL, which no program can be given".to_owned())
                    .help("leave `\\0` out; in a text between double quotes, write `\\\\0` for the two characters"));
            }
            let why = match pieces(text) {
                Ok(pieces) if !program.tls && pieces.contains(&Piece::Slot(Slot::Ca)) => {
                    return Err(wrong(&path, "`{ca}` stands for nothing without `tls: true`".to_owned())
                        .help("add `tls: true`, and the vendors are met over https; or leave it out"));
                }
                Ok(_) => continue,
                Err(why) => why,
            };
            let mistake = wrong(&path, why.to_string());
            let all = || SLOTS.map(|s| format!("{{{s}}}")).join(", ");
            return Err(match &why {
                Unfilled::Unknown(name) => mistake.help(match nearest(name, SLOTS) {
                    Some(near) => format!("did you mean `{{{near}}}`? known: {}", all()),
                    None => format!("for braces of its own, write `{{{{` and `}}}}`; known: {}", all()),
                }),
                _ => mistake,
            });
        }
        self.review_addresses(program, above)
    }

    fn review_addresses(&self, program: &Program, above: &[&str]) -> Result<(), Mistake> {
        let wrong = |path: &[&str], message: String| self.mistake_at(&[above, path].concat(), message);
        let http = program.webhooks.iter().map(|(n, u)| (vec!["webhooks", n], u));
        let http = http.chain(program.exposes.iter().map(|(n, u)| (vec!["exposes", n], u)));
        let jobs = program.jobs.iter().filter_map(|(n, t)| match t {
            Trigger::Post(url) => Some((vec!["jobs", n.as_str(), "post"], url)),
            _ => None,
        });
        let ready = match &program.ready {
            Some(ReadyWhen::Http(url)) => Some((vec!["ready", "http"], url)),
            _ => None,
        };
        for (path, url) in http.chain(jobs).chain(ready) {
            let why = match url.strip_prefix("http://") {
                None => "is not a plain HTTP address",
                Some(rest) if rest.contains(|c: char| c.is_whitespace() || c.is_control()) => "holds a blank",
                Some(rest) if !names_a_port(rest.split(['/', '?', '#']).next().unwrap_or(rest)) => {
                    "names no host and port"
                }
                Some(_) => continue,
            };
            return Err(wrong(&path, format!("`{url}` {why}"))
                .help("write `http://127.0.0.1:{port}/…`: the subject is met on this machine"));
        }
        match &program.ready {
            Some(ReadyWhen::Tcp(address)) if !names_a_port(address) => {
                Err(wrong(&["ready", "tcp"], format!("`{address}` is no `host:port`"))
                    .help("write `127.0.0.1:{port}`: the subject is met on this machine"))
            }
            Some(ReadyWhen::Line(line)) if line.is_empty() => {
                Err(wrong(&["ready", "line"], "any line contains an empty text".to_owned())
                    .help("write a part of the line that says that it is ready"))
            }
            _ => Ok(()),
        }
    }
}

/// What an environment variable may be called, as an error says it.
pub(super) const VARIABLE: &str = "a name has at least one character, and neither `=` nor NUL";

/// Why `name` is none of an environment variable.
pub(super) fn no_variable(name: &str) -> Option<String> {
    let bad = name.is_empty() || name.contains(['=', '\0']);
    bad.then(|| format!("no environment variable can be called `{}`", name.replace('\0', "\\0")))
}

/// Whether this is `host:port`, where the port may be a placeholder.
fn names_a_port(authority: &str) -> bool {
    // A placeholder may hold a colon (`{ms:5m}`), but no port ends in one.
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let number = port.parse::<u16>().is_ok_and(|n| n > 0) && port.bytes().all(|b| b.is_ascii_digit());
    let filled = port.starts_with('{') && port.ends_with('}');
    !host.is_empty() && !host.contains(['/', '@', ' ']) && (number || filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_host_and_its_port() {
        for good in ["127.0.0.1:80", "localhost:{port}", "[::1]:{port.admin}"] {
            assert!(names_a_port(good), "{good}");
        }
        for bad in ["{port}", "127.0.0.1", ":80", "h:", "h:0", "h:70000", "h:80/x", "h:+80", "a b:80"] {
            assert!(!names_a_port(bad), "{bad}");
        }
    }

    #[test]
    fn a_name_that_no_environment_can_hold_is_refused() {
        assert!(["", "A=B", "A\0"].iter().all(|name| no_variable(name).is_some()));
        assert_eq!(no_variable("A.b-c d"), None);
    }
}
