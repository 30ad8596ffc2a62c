//! The last word on what is written into a request. Knows fields and their texts; must not know why they are sent.

use serde_json::Value;

/// Changes the fields of a request before it is sent; the key of a write is made of what comes out.
pub trait Wording: Send + Sync {
    /// The fields of a form, for the endpoint `/v1/invoices`.
    fn form(&self, _endpoint: &str, _fields: &mut Vec<(String, String)>) {}

    /// A JSON body, for the endpoint `/crm/v3/objects/deals/search`.
    fn json(&self, _endpoint: &str, _body: &mut Value) {}
}

/// Every field as the vendors document it.
#[derive(Debug, Clone, Copy, Default)]
pub struct AsDocumented;

impl Wording for AsDocumented {}
