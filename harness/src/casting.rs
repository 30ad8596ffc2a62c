//! Casting: which vendor plays each alias of a drill.
//!
//! Knows: where vendors are described, and that a recording can stand in front of a model. Must
//! not know: how a drill is run, judged or shown.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::drill::{OpenVendor, Plan};
use crate::fixture::{Fixture, Replay};
use crate::plan::Loaded;
use crate::scenario::{FixtureUse, Mistake, VendorFacts, VendorUse};
use crate::vendor::{self, VendorFile};

/// Finds the description of `vendor`: in the folder `contracts` if it is there, else among the
/// bundled ones.
///
/// # Errors
/// A mistake in the vendor's file; without a source line, that there is no such vendor.
pub fn vendor_file(vendor: &VendorUse, contracts: &Path) -> Result<VendorFile, Mistake> {
    let folder = contracts.is_dir().then_some(contracts);
    match vendor {
        VendorUse::Named(name) => VendorFile::load(name, folder, &Value::Null),
        VendorUse::Changed(changed) => VendorFile::load(&changed.vendor, folder, &changed.with),
    }
}

/// What `vendor` has that a drill can name.
///
/// # Errors
/// As [`vendor_file`].
pub fn facts(vendor: &VendorUse, contracts: &Path) -> Result<VendorFacts, Mistake> {
    let file = vendor_file(vendor, contracts)?;
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    Ok(VendorFacts {
        collections: file.collections().map(|(c, r)| (c.to_owned(), r.to_owned())).collect(),
        actions: file.nouns().into_iter().map(|n| (n.to_owned(), owned(file.actions(n)))).collect(),
        operations: file.operations().map(|(method, path)| format!("{method} {path}")).collect(),
        events: owned(file.webhook_events()),
    })
}

/// Makes a drill ready to be run, under any seed and as often as wanted.
///
/// # Errors
/// A mistake in a vendor's file or in a recording.
pub fn plan(drill: &Loaded, contracts: &Path) -> Result<Plan, Mistake> {
    let mut vendors: BTreeMap<String, OpenVendor> = BTreeMap::new();
    for (alias, vendor) in &drill.scenario.vendors {
        vendors.insert(alias.clone(), role(drill, vendor, contracts)?);
    }
    Ok(Plan { scenario: drill.scenario.clone(), file: drill.file.clone(), vendors })
}

fn role(drill: &Loaded, vendor: &VendorUse, contracts: &Path) -> Result<OpenVendor, Mistake> {
    let file = Arc::new(vendor_file(vendor, contracts)?);
    let VendorUse::Changed(changed) = vendor else {
        return Ok(Box::new(move |epoch, seed| vendor::open(&file, epoch, seed)));
    };
    let Some(FixtureUse { run, mode }) = changed.fixtures.clone() else {
        return Ok(Box::new(move |epoch, seed| vendor::open(&file, epoch, seed)));
    };
    let beside = Path::new(&drill.file).parent().unwrap_or(Path::new("."));
    let recorded = Fixture::read(&beside.join(&run)).map_err(|e| {
        Mistake::whole(&drill.file, e.to_string(), Some(format!("`fixtures.run` is `{run}`")))
    })?;
    Ok(Box::new(move |epoch, seed| {
        Box::new(Replay::new(vendor::open(&file, epoch, seed), &recorded, mode, epoch))
    }))
}
