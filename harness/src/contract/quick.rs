//! The fast question to a request: is it plainly as the contract has it?
//!
//! Knows: what of an operation can be prepared once and asked often. Must not know: what is wrong
//! with a request that is not plainly right; [`Contract::check_request`] says that, and any doubt is
//! left to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::Contract;
use super::convert::Direction;
use super::form::{Leaf, leaf_of};
use super::judge::Judge;
use super::media::{essence, is_form, is_json};
use super::operation::{Operation, Parameter, Place, Style};
use super::shape::Shape;
use crate::wire::Request;

/// Names of form fields, and texts of lists, that are remembered for one operation.
const REMEMBERED: usize = 512;

/// What is prepared for each operation, by where it stands in the description.
#[derive(Debug, Default)]
pub(super) struct Plans(Mutex<BTreeMap<String, Option<Arc<Plan>>>>);

/// An operation whose requests can be judged fast.
#[derive(Debug)]
struct Plan {
    /// The path's segments; a parameter by its place among the parameters.
    path: Vec<Result<usize, String>>,
    parameters: Vec<Prepared>,
    body: Option<Body>,
}

#[derive(Debug)]
struct Prepared {
    name: String,
    place: Place,
    required: bool,
    /// How its text is read; none if that takes more than one look.
    reading: Option<Reading>,
    judge: Arc<Judge>,
}

#[derive(Debug)]
enum Reading {
    One(Leaf),
    /// Items between commas.
    List(Leaf),
}

#[derive(Debug)]
struct Body {
    required: bool,
    range: String,
    schema: String,
    judge: Arc<Judge>,
    /// Form fields by the name they are sent under: the members that lead there, and how the text
    /// is read.
    fields: Mutex<BTreeMap<String, Option<Arc<Field>>>>,
}

#[derive(Debug)]
struct Field {
    members: Vec<String>,
    leaf: Leaf,
}

impl Contract {
    /// Whether a request is plainly as the contract has it: then [`Contract::check_request`] finds
    /// nothing in it but perhaps additions. False says nothing.
    pub fn request_fits(&self, operation: &Operation, request: &Request) -> bool {
        let known = self.plans.lock().get(&operation.pointer).cloned();
        let plan = known.unwrap_or_else(|| {
            let plan = self.plan(operation).map(Arc::new);
            self.plans.lock().insert(operation.pointer.clone(), plan.clone());
            plan
        });
        plan.is_some_and(|plan| plan.takes(self, request))
    }

    fn plan(&self, operation: &Operation) -> Option<Plan> {
        let mut parameters = Vec::new();
        for parameter in operation.parameters.iter().filter(|p| p.place != Place::Cookie) {
            let described_elsewhere = ["accept", "content-type", "authorization"];
            if parameter.place == Place::Header
                && described_elsewhere.iter().any(|n| parameter.name.eq_ignore_ascii_case(n))
            {
                continue;
            }
            let at = parameter.schema.as_deref().filter(|_| parameter.style != Style::Other)?;
            parameters.push(Prepared {
                name: parameter.name.clone(),
                place: parameter.place,
                required: parameter.required,
                reading: Shape::of(&self.document, at).and_then(|shape| reading(parameter, &shape)),
                judge: self.schemas.judge(&self.document, at, Direction::Request).ok()?,
            });
        }
        let segment = |text: &str| match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            Some(name) => parameters.iter().position(|p| p.place == Place::Path && p.name == name).map(Ok),
            None if text.contains('{') => None,
            None => Some(Err(text.to_owned())),
        };
        let path = operation.path.split('/').map(segment).collect::<Option<Vec<_>>>()?;
        if !operation.slashed.is_empty() {
            return None;
        }
        let body = match &operation.body {
            None => None,
            Some(body) => {
                let [media] = body.content.as_slice() else { return None };
                let schema = media.schema.clone()?;
                let judge = self.schemas.judge(&self.document, &schema, Direction::Request).ok()?;
                let range = essence(&media.range);
                Some(Body { required: body.required, range, schema, judge, fields: Mutex::default() })
            }
        };
        Some(Plan { path, parameters, body })
    }
}

impl Plans {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<Arc<Plan>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn takes(&self, contract: &Contract, request: &Request) -> bool {
        self.path_fits(request.path())
            && self.query_and_headers_fit(request)
            && match &self.body {
                _ if request.body.is_empty() => self.body.as_ref().is_none_or(|b| !b.required),
                Some(body) => body.takes(contract, request),
                None => false,
            }
    }

    fn path_fits(&self, path: &str) -> bool {
        let mut given = path.split('/');
        let all = self.path.iter().all(|segment| match (segment, given.next()) {
            (Err(literal), Some(text)) => literal == text,
            (Ok(at), Some(text)) if !text.is_empty() => {
                let text = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
                self.parameters[*at].takes(&text)
            }
            _ => false,
        });
        all && given.next().is_none()
    }

    fn query_and_headers_fit(&self, request: &Request) -> bool {
        let query: Vec<_> = request.query().collect();
        self.parameters.iter().all(|parameter| match parameter.place {
            Place::Query => {
                // Brackets may be a list, an object, or a name of their own.
                let of_it = |name: &str| name.split('[').next() == parameter.name.split('[').next();
                let mut given = query.iter().filter(|(name, _)| of_it(name));
                match (given.next(), given.next()) {
                    (None, _) => !parameter.required,
                    (Some((name, text)), None) => *name == parameter.name && parameter.takes(text),
                    _ => false,
                }
            }
            Place::Header => match request.headers.get(&parameter.name) {
                Some(text) => parameter.takes(text),
                None => !parameter.required,
            },
            Place::Path | Place::Cookie => true,
        })
    }
}

fn reading(parameter: &Parameter, shape: &Shape<'_>) -> Option<Reading> {
    if let Some(leaf) = leaf_of(shape) {
        return Some(Reading::One(leaf));
    }
    let list = !shape.types().contains(&"string") && !parameter.explode;
    let commas = matches!(parameter.style, Style::Form | Style::Simple);
    let item = shape.items().filter(|_| list && commas)?;
    leaf_of(&item).map(Reading::List)
}

impl Prepared {
    fn takes(&self, text: &str) -> bool {
        let value = match &self.reading {
            None => return false,
            Some(Reading::One(leaf)) => leaf.read(text),
            Some(Reading::List(leaf)) => text.split(',').map(|item| leaf.read(item)).collect(),
        };
        self.judge.takes(&value) == Ok(true)
    }
}

impl Body {
    fn takes(&self, contract: &Contract, request: &Request) -> bool {
        let given = request.headers.get("content-type").map(essence);
        if given.as_ref() != Some(&self.range) || request.headers.get("content-encoding").is_some() {
            return false;
        }
        let value = if is_json(&self.range) {
            serde_json::from_slice(&request.body).ok()
        } else if is_form(&self.range) {
            self.form(contract, &request.body)
        } else {
            None
        };
        value.is_some_and(|value| self.judge.takes(&value) == Ok(true))
    }

    /// A form whose names lead through members alone, each sent once.
    fn form(&self, contract: &Contract, bytes: &[u8]) -> Option<Value> {
        let mut root = Map::new();
        for (name, text) in form_urlencoded::parse(bytes) {
            let field = self.field(contract, &name)?;
            let (last, parents) = field.members.split_last()?;
            let mut at = &mut root;
            for parent in parents {
                let inner = at.entry(parent.clone()).or_insert_with(|| Value::Object(Map::new()));
                at = inner.as_object_mut()?;
            }
            if at.insert(last.clone(), field.leaf.read(&text)).is_some() {
                return None;
            }
        }
        Some(Value::Object(root))
    }

    fn field(&self, contract: &Contract, name: &str) -> Option<Arc<Field>> {
        let lock = || self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(name) {
            return known.clone();
        }
        let field = self.find_field(contract, name).map(Arc::new);
        let mut fields = lock();
        if fields.len() < REMEMBERED {
            fields.insert(name.to_owned(), field.clone());
        }
        field
    }

    fn find_field(&self, contract: &Contract, name: &str) -> Option<Field> {
        let members: Vec<String> = match name.split_once('[') {
            None => vec![name.to_owned()],
            Some((first, rest)) => {
                let rest = rest.strip_suffix(']')?.split("][").map(str::to_owned);
                std::iter::once(first.to_owned()).chain(rest).collect()
            }
        };
        // Nothing and numbers may be items of a list.
        if members.iter().any(|m| m.is_empty() || m.contains(['[', ']']) || m.parse::<u32>().is_ok()) {
            return None;
        }
        let mut shape = Shape::of(&contract.document, &self.schema)?;
        for member in &members {
            shape = shape.property(member).or_else(|| shape.others())?;
        }
        Some(Field { leaf: leaf_of(&shape)?, members })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Headers;

    fn stripe() -> &'static Contract {
        static STRIPE: std::sync::LazyLock<Contract> = std::sync::LazyLock::new(|| {
            let text = include_bytes!("../../../contracts/stripe/openapi.yaml");
            Contract::parse("openapi.yaml".as_ref(), text).unwrap()
        });
        &STRIPE
    }

    fn request(line: &str, body: &str) -> Request {
        let (method, target) = line.split_once(' ').unwrap();
        let headers = Headers::of([("content-type", "application/x-www-form-urlencoded")]);
        Request { method: method.into(), target: target.into(), headers, body: body.to_owned().into() }
    }

    #[test]
    fn plain_requests_are_taken_fast() {
        let contract = stripe();
        for (line, body) in [
            ("GET /v1/invoices?limit=100&customer=cus_1", ""),
            ("POST /v1/invoices/in_1/finalize", "auto_advance=false"),
            (
                "POST /v1/invoiceitems",
                "customer=c&amount=1250&metadata[deal_id]=7&period[start]=1&period[end]=2",
            ),
        ] {
            let request = request(line, body);
            let operation = contract.find(&request.method, &request.target).unwrap().operation;
            assert!(contract.request_fits(operation, &request), "{line} {body}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn the_fast_answer_never_takes_what_the_whole_one_refuses(
            fields in proptest::collection::vec(
                ("(customer|amount|currency|period\\[(start|end)\\]|metadata(\\[[a-z]\\])?|expand(\\[0?\\])?|quantity|x)",
                 "(|12|1\\.5|-3|usd|USD|true|99999999999999999999)"), 0..5),
            limit in "(|\\?limit=(0|5|101|x)|\\?created\\[gte\\]=1|\\?limit=1&limit=2)",
        ) {
            let contract = stripe();
            let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            for request in [request("POST /v1/invoiceitems", &form), request(&format!("GET /v1/invoices{limit}"), "")] {
                let operation = contract.find(&request.method, &request.target).unwrap().operation;
                if contract.request_fits(operation, &request) {
                    let said = contract.check_request(operation, &request);
                    prop_assert!(said.verdict() == crate::finding::Verdict::Pass, "{said:?}");
                }
            }
        }
    }
}
