//! Validators: compiled when first needed, kept as long as they are used, bounded in number.
//!
//! Knows: `jsonschema` and its registry. Must not know: which schema belongs to what.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock};

use jsonschema::{Draft, Registry, Validator};
use lru::LruCache;
use serde_json::{Value, json};

use super::convert::{Direction, convert, fragment};
use super::document::Document;
use super::judge::{Judge, Source};
use super::unfold;

/// How many validators are kept. One of Stripe's larger ones takes about 4 MB.
const KEPT: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// The name under which the registry knows the description.
const CONTRACT: &str = "firedrill:contract";
/// Compiling follows references as deep as they go; `unfold` bounds that depth to fit this stack.
const STACK: usize = 256 << 20;

/// The schemas of a contract, ready to be compiled.
pub(super) struct Schemas {
    prepared: [OnceLock<Result<Arc<Registry<'static>>, String>>; 2],
    cache: Mutex<LruCache<(Direction, String), Arc<Judge>>>,
}

impl std::fmt::Debug for Schemas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schemas").finish_non_exhaustive()
    }
}

impl Schemas {
    pub fn new() -> Schemas {
        Schemas { prepared: [OnceLock::new(), OnceLock::new()], cache: Mutex::new(LruCache::new(KEPT)) }
    }

    /// The validator of the schema at `pointer` of the raw document.
    ///
    /// # Errors
    /// In words, if the schema cannot be compiled: then nothing can be judged by it.
    pub fn judge(
        &self,
        document: &Document,
        pointer: &str,
        direction: Direction,
    ) -> Result<Arc<Judge>, String> {
        let key = (direction, pointer.to_owned());
        if let Some(judge) = self.lock().get(&key) {
            return Ok(judge.clone());
        }
        let registry = self.registry(document, direction)?;
        let root = contents(registry).ok_or("the converted description is lost")?;
        let at = super::convert::converted_pointer(root, pointer)
            .ok_or_else(|| format!("there is no schema at `{pointer}`"))?;
        let schema = json!({ "$ref": format!("{CONTRACT}{}", fragment(&at)) });
        let validator = on_a_deep_stack(|| build(&schema, Some(registry)))?;
        let judge = Arc::new(Judge::new(validator, Source::Contract(registry.clone(), at)));
        self.lock().put(key, judge.clone());
        Ok(judge)
    }

    /// How many validators are kept now.
    pub fn kept(&self) -> usize {
        self.lock().len()
    }

    fn registry(&self, document: &Document, direction: Direction) -> Result<&Arc<Registry<'static>>, String> {
        let slot = &self.prepared[match direction {
            Direction::Request => 0,
            Direction::Response => 1,
        }];
        let prepared = slot.get_or_init(|| {
            let converted = convert(document, direction);
            unfold::check(&converted)?;
            Registry::new()
                .draft(Draft::Draft202012)
                .retriever(Offline)
                .add(CONTRACT, Draft::Draft202012.create_resource(converted))
                .and_then(jsonschema::RegistryBuilder::prepare)
                .map(Arc::new)
                .map_err(|e| e.to_string())
        });
        prepared.as_ref().map_err(Clone::clone)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<(Direction, String), Arc<Judge>>> {
        // A poisoned cache is still a cache: nothing in it is half done.
        self.cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Compiles a schema that stands by itself.
pub(super) fn alone(schema: &Value) -> Result<Judge, String> {
    unfold::check(schema)?;
    let validator = on_a_deep_stack(|| build(schema, None))?;
    Ok(Judge::new(validator, Source::Alone(Arc::new(schema.clone()))))
}

fn build(schema: &Value, registry: Option<&Registry<'static>>) -> Result<Validator, String> {
    let mut options = jsonschema::options()
        .with_base_uri("firedrill:entry")
        .should_validate_formats(true)
        .with_format("decimal", decimal)
        .with_pattern_options(
            jsonschema::PatternOptions::fancy_regex().backtrack_limit(100_000).size_limit(4 << 20),
        )
        .offline();
    if let Some(registry) = registry {
        options = options.with_draft(Draft::Draft202012).with_registry(registry);
    }
    options.build(schema).map_err(|e| {
        let at = e.schema_path().as_str();
        format!(
            "the schema cannot be compiled: {}{}",
            e.masked(),
            if at.is_empty() { String::new() } else { format!(" (at {at})") }
        )
    })
}

/// Stripe's format for a number in a string.
fn decimal(text: &str) -> bool {
    text.parse::<rust_decimal::Decimal>().is_ok()
}

/// The converted description in a registry.
pub(super) fn contents<'r>(registry: &'r Registry<'static>) -> Option<&'r Value> {
    let base = jsonschema::uri::from_str(CONTRACT).ok()?;
    Some(registry.resolver(base).lookup("").ok()?.contents())
}

/// Answers no one: what a contract refers to was read when it was loaded.
struct Offline;

impl jsonschema::Retrieve for Offline {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("`{uri}` stands outside the contract").into())
    }
}

fn on_a_deep_stack<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err("the schema compiler panicked".to_owned()),
            Err(e) => Err(format!("no thread to compile on: {e}")),
        }
    })
}
