//! Judging what a request says outside of its body: path, query and header parameters.
//!
//! Knows: how parameters are spelt (OpenAPI 3.0.3, Parameter Object). Must not know: bodies. Whatever
//! carries credentials (`Authorization`, `Cookie`) is left alone.

use indexmap::IndexMap;
use serde_json::Value;

use super::{found, judged};
use crate::contract::Contract;
use crate::contract::convert::{Direction, below};
use crate::contract::explain::Scene;
use crate::contract::form::{self, Tree};
use crate::contract::operation::{Operation, Parameter, Place, Style};
use crate::contract::shape::Shape;
use crate::contract::violation::{Checked, Part, Severity};
use crate::wire::Request;

impl Contract {
    pub(super) fn check_parameters(&self, operation: &Operation, request: &Request, checked: &mut Checked) {
        let arguments = match self.find(&request.method, &request.target) {
            Ok(found) if std::ptr::eq(found.operation, operation) || found.operation == operation => {
                found.arguments
            }
            _ => operation.matches(request.path()).map(|(_, arguments)| arguments).unwrap_or_default(),
        };
        let query: Vec<(String, String)> =
            request.query().map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
        let tree = match form::tree(query.iter().cloned()) {
            Ok(tree) => tree,
            Err(tangled) => {
                let expected = "names and values that nest".to_owned();
                checked.violations.push(found(
                    "contract/not_a_form",
                    Severity::Breaking,
                    Part::Query,
                    &operation.pointer,
                    expected,
                    tangled.0,
                ));
                IndexMap::new()
            }
        };
        for parameter in &operation.parameters {
            let shape = parameter.schema.as_deref().and_then(|at| Shape::of(&self.document, at));
            let given = match parameter.place {
                Place::Path => {
                    let text =
                        arguments.iter().find(|(name, _)| *name == parameter.name).map(|(_, v)| v.as_str());
                    text.map(|text| listed(parameter, text, shape.as_ref()))
                }
                Place::Query => in_query(parameter, &tree, &query, shape.as_ref()),
                Place::Header => {
                    // OpenAPI 3.0.3, Parameter Object: these three are described elsewhere.
                    if ["accept", "content-type", "authorization"]
                        .iter()
                        .any(|n| parameter.name.eq_ignore_ascii_case(n))
                    {
                        continue;
                    }
                    request.headers.get(&parameter.name).map(|text| listed(parameter, text, shape.as_ref()))
                }
                Place::Cookie => continue,
            };
            let part = match parameter.place {
                Place::Path => Part::Path,
                Place::Query => Part::Query,
                Place::Header => Part::Header,
                Place::Cookie => Part::Cookie,
            };
            match (given, &parameter.schema) {
                (None, _) => {
                    if parameter.required {
                        let mut violation = found(
                            "contract/required",
                            Severity::Breaking,
                            part,
                            parameter.schema.as_deref().unwrap_or(&operation.pointer),
                            format!("the parameter `{}`", parameter.name),
                            "it is missing".to_owned(),
                        );
                        violation.pointer = below("", &parameter.name);
                        violation.wild.clone_from(&violation.pointer);
                        checked.violations.push(violation);
                    }
                }
                (Some(_), _) if parameter.style == Style::Other => {}
                (Some(value), Some(schema)) => self.check_parameter(parameter, part, schema, &value, checked),
                (Some(_), None) => {}
            }
        }
        self.add_unknown_query(operation, &tree, checked);
    }

    fn check_parameter(
        &self,
        parameter: &Parameter,
        part: Part,
        schema: &str,
        value: &Value,
        checked: &mut Checked,
    ) {
        match self.schemas.judge(&self.document, schema, Direction::Request) {
            Ok(judge) => {
                let prefix = below("", &parameter.name);
                let scene =
                    Scene { raw: &self.document.raw, entry: schema, part, prefix, name: &parameter.name };
                match judged(&judge, &scene, value) {
                    Ok(violations) => checked.violations.extend(violations),
                    Err(unknown) => checked.violations.push(*unknown),
                }
            }
            Err(why) => checked.violations.push(found(
                "contract/not_judged",
                Severity::Unknown,
                part,
                schema,
                "a schema that can be compiled".to_owned(),
                why,
            )),
        }
    }

    fn add_unknown_query(&self, operation: &Operation, tree: &IndexMap<String, Tree>, checked: &mut Checked) {
        for name in tree.keys() {
            let known = |p: &Parameter| {
                p.place == Place::Query
                    && (p.name == *name || p.name.split('[').next() == Some(name.as_str()))
            };
            if !operation.parameters.iter().any(known) {
                let mut violation = found(
                    "contract/unknown_parameter",
                    Severity::Additive,
                    Part::Query,
                    &operation.pointer,
                    "a documented parameter".to_owned(),
                    format!("`{name}`"),
                );
                violation.pointer = below("", name);
                violation.wild.clone_from(&violation.pointer);
                checked.violations.push(violation);
            }
        }
    }
}

fn in_query(
    parameter: &Parameter,
    tree: &IndexMap<String, Tree>,
    query: &[(String, String)],
    shape: Option<&Shape<'_>>,
) -> Option<Value> {
    // A name with brackets of its own (`filter[state]`, `ids[]`) is documented as it is spelt.
    if parameter.name.contains('[') {
        let mut values: Vec<&str> =
            query.iter().filter(|(n, _)| *n == parameter.name).map(|(_, v)| v.as_str()).collect();
        return match values.len() {
            0 => None,
            1 => values.pop().map(|text| form::typed(&Tree::Leaf(text.to_owned()), shape)),
            _ => Some(form::typed(&Tree::Several(values.into_iter().map(str::to_owned).collect()), shape)),
        };
    }
    match tree.get(&parameter.name)? {
        Tree::Leaf(text) if !parameter.explode || matches!(parameter.style, Style::Space | Style::Pipe) => {
            Some(listed(parameter, text, shape))
        }
        other => Some(form::typed(other, shape)),
    }
}

/// A text as a value, split where the parameter is a list that is not exploded.
fn listed(parameter: &Parameter, text: &str, shape: Option<&Shape<'_>>) -> Value {
    let list = shape.is_some_and(|s| {
        let types = s.types();
        types.contains(&"array") && !types.contains(&"string")
    });
    if !list {
        return form::typed(&Tree::Leaf(text.to_owned()), shape);
    }
    let separator = match parameter.style {
        Style::Space => ' ',
        Style::Pipe => '|',
        _ => ',',
    };
    form::typed(&Tree::Several(text.split(separator).map(str::to_owned).collect()), shape)
}
