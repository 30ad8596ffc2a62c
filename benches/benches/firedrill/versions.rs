//! Contracts: two versions of a vendor's description compared, records drawn.
//!
//! With Stripe's own descriptions of 5 MB if they are there (`../shared/data`), and always with the
//! bundled one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::Criterion;
use firedrill::contract::diff::diff;
use firedrill::contract::{Contract, Direction, generate};

pub fn versions(c: &mut Criterion) {
    let mut group = c.benchmark_group("versions");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bundled = load(&here.join("../contracts/stripe/openapi.yaml"));
    group.bench_function("diff/bundled stripe with itself", |b| b.iter(|| diff(&bundled, &bundled)));
    let data = std::env::var_os("FIREDRILL_SHARED_DATA")
        .map_or_else(|| here.join("../../shared/data"), PathBuf::from)
        .join("stripe");
    if data.is_dir() {
        let [old, new] =
            ["2022-04-13", "2023-09-12"].map(|date| load(&data.join(format!("spec3-{date}.json"))));
        group.sample_size(10);
        group.bench_function("diff/stripe 2022 with 2023", |b| b.iter(|| diff(&old, &new)));
        group.bench_function("diff/stripe 2023 with itself", |b| b.iter(|| diff(&new, &new)));
    }
    let hubspot = Arc::new(load(&here.join("../contracts/hubspot/openapi.yaml")));
    let deals = generate::values(&hubspot, "/components/schemas/Deal", Direction::Response)
        .expect("the contract describes a deal");
    group.bench_function("generate/a deal", |b| b.iter(|| generate::draw(&deals, [7; 32])));
    group.finish();
}

fn load(file: &Path) -> Contract {
    Contract::load(file).expect("the description can be read")
}
