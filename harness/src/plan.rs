//! Drills on disk: finding them, and reading each with the file it extends.
//!
//! Knows: files, folders, and which file is a drill. Must not know: how a drill is run or shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::check::objection_to_waiving;
use crate::scenario::{Document, Mistake, Scenario, Sources, VendorFacts, VendorUse, nearest, review};

/// A drill that was read from disk, whole: with what it takes over from its base.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The drill.
    pub scenario: Scenario,
    /// Its file, as the user would name it, with `/` on every system.
    pub file: String,
}

impl Loaded {
    /// `family/file_stem`: short, and stable when the folder moves.
    pub fn name(&self) -> String {
        let stem = Path::new(&self.file).file_stem().map(|s| s.to_string_lossy().into_owned());
        format!("{}/{}", family_word(&self.scenario), stem.unwrap_or_default())
    }

    /// The family as the file writes it.
    pub fn family(&self) -> String {
        family_word(&self.scenario)
    }
}

fn family_word(scenario: &Scenario) -> String {
    match serde_json::to_value(scenario.family) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// What tells the review of a drill what its vendors have: collections, actions, operations,
/// events; `None` where that is not known and not to be reviewed. An error is a mistake in the
/// vendor's own files, or, without a source line, that there is no such vendor.
pub type VendorLookup<'a> = &'a dyn Fn(&VendorUse) -> Result<Option<VendorFacts>, Mistake>;

/// Reads the drills in `paths`: files as they are, folders with all they hold, in the order of
/// their names. In folders, names that begin with `_` or `.` are passed over, and so are files that
/// some drill extends.
///
/// # Errors
/// All mistakes of all files.
pub fn load(paths: &[PathBuf], vendors: VendorLookup<'_>) -> Result<Vec<Loaded>, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut found = Vec::new();
    for path in paths {
        if let Err(mistake) = find(path, &mut found) {
            mistakes.push(mistake);
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|f: &Found| seen.insert(f.path.clone()));

    let mut bases = BTreeSet::new();
    let mut read = Vec::new();
    for file in found {
        let outcome = load_one(&file, vendors, &mut bases);
        read.push((file, outcome));
    }
    let mut drills = Vec::new();
    let mut names = BTreeMap::new();
    for (file, outcome) in read {
        match outcome {
            Ok(drill) => match names.insert(drill.name(), drill.file.clone()) {
                None => drills.push(drill),
                Some(other) => mistakes.push(Mistake::whole(
                    &drill.file,
                    format!("this drill has the same name as {other}: `{}`", drill.name()),
                    Some("a drill is called by its family and its file: rename one of the files".to_owned()),
                )),
            },
            Err(_) if !file.named && canonical(&file.path).is_some_and(|p| bases.contains(&p)) => {}
            // What is wrong in a base is found by each drill that extends it, and said once.
            Err(more) => {
                let fresh = |m: &Mistake| !mistakes.contains(m);
                let more: Vec<Mistake> = more.into_iter().filter(fresh).collect();
                mistakes.extend(more);
            }
        }
    }
    if mistakes.is_empty() { Ok(drills) } else { Err(mistakes) }
}

/// A file to be read.
struct Found {
    path: PathBuf,
    /// The folder that it must not reach out of.
    root: PathBuf,
    /// Whether the user named it, rather than a folder above it.
    named: bool,
}

fn shown(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/");
    text.strip_prefix("./").map(str::to_owned).unwrap_or(text)
}

fn canonical(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

fn find(path: &Path, found: &mut Vec<Found>) -> Result<(), Mistake> {
    let cannot = |e: std::io::Error| Mistake::whole(&shown(path), format!("cannot be read: {e}"), None);
    let meta = fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => lost(path),
        _ => cannot(e),
    })?;
    if meta.is_dir() {
        return walk(path, path, found).map_err(cannot);
    }
    // A single file may take its base from anywhere below the folder we stand in, or from the
    // folder beside its own.
    let here = std::env::current_dir().ok().and_then(|d| canonical(&d));
    let beneath = canonical(path).zip(here).filter(|(p, here)| p.starts_with(here)).map(|(_, here)| here);
    let beside = || {
        let whole = canonical(path).unwrap_or_else(|| path.to_owned());
        whole.ancestors().nth(2).unwrap_or(Path::new("/")).to_owned()
    };
    found.push(Found { path: path.to_owned(), root: beneath.unwrap_or_else(beside), named: true });
    Ok(())
}

/// A path that leads nowhere, and where it may have been meant to lead.
fn lost(path: &Path) -> Mistake {
    let name = shown(path);
    let there = path.ancestors().skip(1).find(|p| p.is_dir());
    let help = match there.map(shown) {
        // What the shell did not expand, since it was quoted or fits nothing.
        folder if name.contains(['*', '?', '[']) => {
            let folder = folder.unwrap_or_else(|| "FOLDER".to_owned());
            format!(
                "patterns are for the shell to expand: leave out the quotes, or name the folder (`{folder}`), \
                 whose drills are all run"
            )
        }
        _ => match meant(path) {
            Some(near) => format!("did you mean `{}`?", shown(&near)),
            None => "name a drill, or a folder with drills; `firedrill new scenarios/idempotency/lost_answer.yaml` \
                     writes one to start from"
                .to_owned(),
        },
    };
    Mistake::whole(&name, format!("there is no file or folder `{name}`"), Some(help))
}

/// What lies where `path` should and has a name like it: of the first part that is not there.
fn meant(path: &Path) -> Option<PathBuf> {
    let missing = path.ancestors().take_while(|p| !p.exists()).last()?;
    let parent = missing.parent().unwrap_or(Path::new(""));
    let folder = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let entries = fs::read_dir(folder).ok()?.filter_map(|e| e.ok()?.file_name().into_string().ok());
    let names: Vec<String> = entries.filter(|name| !name.starts_with('.')).collect();
    let near = nearest(missing.file_name()?.to_str()?, names.iter().map(String::as_str))?;
    let rest = path.strip_prefix(missing).ok()?;
    let meant = parent.join(near);
    let meant = if rest.as_os_str().is_empty() { meant } else { meant.join(rest) };
    meant.exists().then_some(meant)
}

fn walk(folder: &Path, root: &Path, found: &mut Vec<Found>) -> std::io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(['_', '.']) {
            continue;
        }
        // A link to a folder is not followed: it may lead back here.
        if fs::symlink_metadata(&path)?.is_dir() {
            walk(&path, root, found)?;
        } else if name.ends_with(".yaml") || name.ends_with(".yml") {
            // The base of a family that is run by naming its folder lies beside that folder.
            let beside = || canonical(root).and_then(|whole| whole.parent().map(Path::to_owned));
            let root = Some(root.to_owned()).filter(|root| folder != root).or_else(beside);
            found.push(Found { path, root: root.unwrap_or_else(|| folder.to_owned()), named: false });
        }
    }
    Ok(())
}

fn document(path: &Path, shown: &str) -> Result<Document, Mistake> {
    let bytes = fs::read(path).map_err(|e| Mistake::whole(shown, format!("cannot be read: {e}"), None))?;
    Document::read(shown, &bytes)
}

fn load_one(
    found: &Found,
    vendors: VendorLookup<'_>,
    bases: &mut BTreeSet<PathBuf>,
) -> Result<Loaded, Vec<Mistake>> {
    let file = shown(&found.path);
    let drill = document(&found.path, &file).map_err(|m| vec![m])?;
    let mut scenario = drill.whole_scenario()?;
    let base = match &scenario.extends {
        None => None,
        Some(extends) => {
            let (path, base) = base_of(found, &drill, extends).map_err(|m| vec![m])?;
            bases.insert(path);
            scenario.inherit(base.whole_base()?);
            Some(base)
        }
    };
    let sources = Sources { drill: &drill, base: base.as_ref() };
    let facts = facts_of(&scenario, &sources, vendors)?;
    let mut mistakes = review(&scenario, &sources, Some(&facts));
    mistakes.extend(waivers(&scenario, &sources));
    if mistakes.is_empty() { Ok(Loaded { scenario, file }) } else { Err(mistakes) }
}

/// Waivers of what cannot be waived.
fn waivers<'a>(scenario: &'a Scenario, sources: &'a Sources<'_>) -> impl Iterator<Item = Mistake> + 'a {
    scenario.expect.waive.iter().enumerate().filter_map(|(index, waiver)| {
        let path = ["expect", "waive", &index.to_string(), "rule"];
        objection_to_waiving(&waiver.rule).map(|why| Mistake {
            help: Some("`firedrill explain` lists all rules".to_owned()),
            ..sources.mistake_at(&path, why)
        })
    })
}

fn facts_of(
    scenario: &Scenario,
    sources: &Sources<'_>,
    look_up: VendorLookup<'_>,
) -> Result<BTreeMap<String, VendorFacts>, Vec<Mistake>> {
    let mut facts = BTreeMap::new();
    let mut mistakes = Vec::new();
    for (alias, vendor) in &scenario.vendors {
        match look_up(vendor) {
            Ok(known) => {
                facts.extend(known.map(|known| (alias.clone(), known)));
            }
            Err(Mistake { in_changes: Some(misfit), .. }) => {
                mistakes.push(sources.mistake_in_changes(alias, &misfit));
            }
            // The vendor's file does not exist: the mistake is the drill's.
            Err(mistake) if mistake.source_line.is_empty() => {
                let mut here = sources.mistake_at(&["vendors", alias], mistake.message);
                here.help = mistake.help;
                mistakes.push(here);
            }
            Err(mistake) => mistakes.push(mistake),
        }
    }
    mistakes.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    if mistakes.is_empty() { Ok(facts) } else { Err(mistakes) }
}

/// The file that a drill extends: read, but not yet understood.
fn base_of(found: &Found, drill: &Document, extends: &str) -> Result<(PathBuf, Document), Mistake> {
    let wrong = |message: String, help: &str| {
        let mut mistake = drill.mistake_at(&["extends"], message);
        mistake.help = Some(help.to_owned());
        mistake
    };
    let folder = found.path.parent().unwrap_or(Path::new("."));
    if Path::new(extends).is_absolute() {
        return Err(wrong(
            format!("`{extends}` is an absolute path"),
            "write it relative to this file, such as `../_base.yaml`",
        ));
    }
    let path = folder.join(extends);
    let Some(whole) = canonical(&path) else {
        return Err(wrong(
            format!("there is no file `{extends}`"),
            &format!("it is looked for at {}", tidy(&path)),
        ));
    };
    if canonical(&found.path).as_ref() == Some(&whole) {
        return Err(wrong("a drill cannot extend itself".to_owned(), "name a base file"));
    }
    let root = canonical(&found.root).unwrap_or_else(|| found.root.clone());
    if !whole.starts_with(&root) {
        return Err(wrong(
            format!("`{extends}` lies outside of the drills"),
            "a drill takes over only from files of its own folder and those beside it",
        ));
    }
    let name_a_file = "name a base file, such as `../_base.yaml`";
    if whole.is_dir() {
        return Err(wrong(format!("`{extends}` is a folder"), name_a_file));
    }
    let bytes =
        fs::read(&path).map_err(|e| wrong(format!("`{extends}` cannot be read: {e}"), name_a_file))?;
    Ok((whole, Document::read(&tidy(&path), &bytes)?))
}

/// The path without `x/..`, for messages.
fn tidy(path: &Path) -> String {
    let mut parts: Vec<std::path::Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (std::path::Component::ParentDir, Some(std::path::Component::Normal(_))) => {
                parts.pop();
            }
            (std::path::Component::CurDir, _) => {}
            _ => parts.push(part),
        }
    }
    shown(&parts.iter().collect::<PathBuf>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRILL: &str = "drill: d\nwhy: w\nfamily: retry\n";
    const BASE: &str = "vendors: { crm: hubspot }\nexpect: { converges: { within: 10m } }\n";

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(files: &[(&str, &str)]) -> Folder {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = dir.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Folder(dir)
        }

        fn load(&self, path: &str) -> Result<Vec<Loaded>, Vec<Mistake>> {
            load(&[self.0.path().join(path)], &|_| Ok(None))
        }

        fn refusal(&self, path: &str) -> String {
            self.load(path).unwrap_err()[0].message.clone()
        }
    }

    fn extending(base: &str) -> String {
        format!("{DRILL}extends: {base}\n")
    }

    #[test]
    fn a_drill_takes_over_what_it_does_not_say() {
        let own = format!(
            "{}vendors: {{ billing: stripe }}\nexpect: {{ converges: {{ within: 1m }} }}\n",
            extending("../_base.yaml")
        );
        let folder = Folder::with(&[
            ("_base.yaml", BASE),
            ("retry/own.yaml", &own),
            ("retry/plain.yaml", &extending("../_base.yaml")),
        ]);
        let drills = folder.load("").unwrap();
        assert_eq!(drills.iter().map(Loaded::name).collect::<Vec<_>>(), ["retry/own", "retry/plain"]);
        assert_eq!(drills[0].scenario.vendors.len(), 2);
        let within = |d: &Loaded| d.scenario.expect.converges.unwrap().within.to_string();
        assert_eq!((within(&drills[0]), within(&drills[1])), ("1m".into(), "10m".into()));
    }

    #[test]
    fn a_base_file_without_the_mark_is_not_run_if_some_drill_extends_it() {
        let folder =
            Folder::with(&[("base.yaml", BASE), ("x.yaml", &extending("base.yaml")), ("notes.txt", "")]);
        assert_eq!(folder.load("").unwrap().len(), 1);
        assert_eq!(folder.refusal("base.yaml"), "the drill lacks `drill`");
    }

    #[test]
    fn a_drill_cannot_reach_outside_of_its_folder() {
        let folder =
            Folder::with(&[("secret.yaml", BASE), ("drills/a/x.yaml", &extending("../../secret.yaml"))]);
        assert!(folder.refusal("drills").contains("lies outside"));
        assert!(folder.refusal("drills/a/x.yaml").contains("lies outside"));
        #[cfg(unix)]
        {
            let link = folder.0.path().join("drills/link.yaml");
            std::os::unix::fs::symlink(folder.0.path().join("secret.yaml"), link).unwrap();
            fs::write(folder.0.path().join("drills/a/x.yaml"), extending("../link.yaml")).unwrap();
            assert!(folder.refusal("drills").contains("lies outside"));
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_is_told_where_it_may_have_been_meant_to_lead() {
        let folder = Folder::with(&[("auth/x.yaml", DRILL), ("retry/y.yaml", DRILL)]);
        let told = |path: &str| {
            let mistake = folder.load(path).unwrap_err().remove(0);
            assert!(mistake.message.starts_with("there is no file or folder `"), "{mistake:?}");
            mistake.help.unwrap()
        };
        assert!(told("auht").ends_with("/auth`?"), "{}", told("auht"));
        assert!(told("auht/x.yaml").ends_with("/auth/x.yaml`?"), "{}", told("auht/x.yaml"));
        assert!(told("auth/z*").contains("/auth`), whose drills are all run"), "{}", told("auth/z*"));
        assert!(told("scenarios").contains("`firedrill new "), "{}", told("scenarios"));
        assert!(told("zebra/x.yaml").contains("`firedrill new "), "{}", told("zebra/x.yaml"));
    }

    #[test]
    fn a_drill_that_extends_a_folder_is_pointed_at() {
        let folder = Folder::with(&[("a/x.yaml", &extending(".."))]);
        let mistake = folder.load("").unwrap_err().remove(0);
        assert_eq!(mistake.message, "`..` is a folder");
        assert!(mistake.file.ends_with("a/x.yaml"), "{}", mistake.file);
        assert_eq!(mistake.line, extending("..").lines().count());
    }

    #[test]
    fn a_mistake_in_a_base_is_told_once_however_many_drills_extend_it() {
        let bad = BASE.replace("converges", "convergse");
        let extending = extending("_base.yaml");
        let own = format!("{DRILL}vendors: {{ crm: hubspot }}\nfualts: []\n");
        let folder = Folder::with(&[
            ("_base.yaml", &bad),
            ("a.yaml", &extending),
            ("b.yaml", &extending),
            ("c.yaml", &own),
            ("d.yaml", &own),
        ]);
        let mistakes = folder.load("").unwrap_err();
        let files: Vec<_> = mistakes.iter().map(|m| m.file.rsplit('/').next().unwrap()).collect();
        assert_eq!(files, ["_base.yaml", "c.yaml", "d.yaml"], "{mistakes:?}");
    }

    #[test]
    fn a_waiver_of_what_cannot_be_waived_is_pointed_at_in_the_file_that_says_it() {
        let base = |rule| BASE.replace("} }", &format!("}}, waive: [{{ rule: {rule}, because: b }}] }}"));
        let folder =
            Folder::with(&[("_base.yaml", &base("idempotncy/no_key")), ("x.yaml", &extending("_base.yaml"))]);
        let mistake = folder.load("").unwrap_err().remove(0);
        assert_eq!(mistake.message, "no check is called `idempotncy`; did you mean `idempotency`?");
        assert!(mistake.file.ends_with("_base.yaml") && mistake.line == 2, "{mistake:?}");
        let folder = Folder::with(&[
            ("_base.yaml", &base("idempotency/no_key")),
            ("x.yaml", &extending("_base.yaml")),
        ]);
        assert_eq!(
            folder.load("").unwrap()[0].scenario.expect.waive.len(),
            1,
            "a base waives for its drills"
        );
    }

    #[test]
    fn two_drills_of_one_name_are_refused_and_one_named_twice_is_read_once() {
        let text = format!("{DRILL}vendors: {{ crm: hubspot }}\n");
        let folder = Folder::with(&[("a/x.yaml", &text), ("b/x.yaml", &text)]);
        assert!(folder.refusal("").contains("same name"));
        let path = folder.0.path().join("a");
        assert_eq!(load(&[path.clone(), path.join("x.yaml")], &|_| Ok(None)).unwrap().len(), 1);
    }
}
