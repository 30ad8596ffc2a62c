//! Start data drawn from the vendor's contract, in place of the vendor file's own.
//!
//! Knows: which fields of a record a person could have typed: those that the vendor file makes up.
//! Must not know: how a value is drawn.

use proptest::strategy::BoxedStrategy;
use rand::Rng;
use serde_json::Value;

use crate::contract::{Direction, generate};
use crate::seed::Stream;

use super::file::VendorFile;
use super::spec::{CollectionSpec, Does};
use super::value::Path;

/// What draws the fields of a collection's records.
pub(super) struct Generator {
    fields: Vec<(Path, BoxedStrategy<Value>)>,
    chance: Stream,
}

impl Generator {
    /// A generator for the collection `name`.
    ///
    /// # Errors
    /// In words, if the vendor's contract does not describe its records.
    pub fn new(
        file: &VendorFile,
        name: &str,
        spec: &CollectionSpec,
        chance: Stream,
    ) -> Result<Generator, String> {
        let vendor = &file.spec.vendor;
        let contract = file.profile.contract.as_ref().ok_or_else(|| {
            format!(
                "{vendor} has no contract to generate {name} from: put an openapi.yaml beside its vendor.yaml"
            )
        })?;
        let reads =
            file.routes.iter().find(|r| r.spec.does == Does::Read && r.spec.of.as_deref() == Some(name));
        let schema = reads.and_then(|route| {
            let (method, path) = route.operation.name.split_once(' ')?;
            // The two may call the parameter by other names.
            let described = contract.find(method, &path.replace(['{', '}'], "")).ok()?.operation;
            described.answer(200)?.content.first()?.schema.clone()
        });
        let schema = schema.ok_or_else(|| format!("{vendor}'s contract does not describe one of {name}"))?;
        let made_up = spec.seeded.iter().filter(|(_, template)| !template.is_fixed());
        let fields = made_up
            .map(|(path, _)| {
                let segments: Vec<&str> = path.segments().collect();
                let values = generate::field(contract, &schema, &segments, Direction::Response)?;
                Ok((path.clone(), values))
            })
            .collect::<Result<_, String>>()?;
        Ok(Generator { fields, chance })
    }

    /// Draws the fields of one record anew.
    pub fn fill(&mut self, record: &mut Value) {
        for (path, values) in &self.fields {
            let mut seed = [0; 32];
            self.chance.fill_bytes(&mut seed);
            if let Some(value) = generate::draw(values, seed) {
                path.set(record, value);
            }
        }
        generate::settle(record);
    }
}
