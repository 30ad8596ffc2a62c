//! HubSpot's CRM v3. Knows deals and their pages; must not know invoices.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use crate::auth::OAuth;
use crate::client::{Body, Call, Failure, VendorClient};
use crate::mapping::PROPERTIES;
use crate::policy::Wording;
use crate::shape::{self, Shape};

/// Deals, read.
pub(crate) struct HubSpot {
    pub(crate) client: Arc<VendorClient>,
    pub(crate) oauth: OAuth,
    pub(crate) strict: bool,
    pub(crate) wording: Arc<dyn Wording>,
}

/// One page of deals; each still to be checked.
#[derive(Debug)]
pub(crate) struct DealPage {
    pub deals: Vec<Value>,
    pub next: Option<String>,
}

const DEAL: &str = "/crm/v3/objects/deals/{id}";
const DEALS: &str = "/crm/v3/objects/deals";
const SEARCH: &str = "/crm/v3/objects/deals/search";

impl HubSpot {
    fn call(
        &self,
        slot: usize,
        method: Method,
        path: String,
        endpoint: &'static str,
        body: Body,
    ) -> Call<'_> {
        Call { method, path, endpoint, body, credentials: Some(&self.oauth), key: None, read: true, slot }
    }

    /// A deal as it is now; `None` when it is gone.
    pub(crate) async fn deal(&self, slot: usize, id: &str) -> Result<Option<Value>, Failure> {
        let path = format!("{DEALS}/{id}?properties={PROPERTIES}");
        let call = self.call(slot, Method::GET, path, DEAL, Body::None);
        let reply = match self.client.call(&call).await {
            Err(Failure::Rejected { status: 404, .. }) => return Ok(None),
            reply => reply?,
        };
        let deal = shape::read(&reply, Shape::Deal, DEAL, self.strict)?;
        if self.strict && deal["id"] != id {
            return Err(Failure::Invalid {
                source: DEAL.into(),
                reason: format!("asked for deal {id}, got {}", deal["id"]),
                payload: deal.to_string(),
            });
        }
        Ok(Some(deal))
    }

    /// One page of all deals.
    pub(crate) async fn deals(&self, slot: usize, after: Option<&str>) -> Result<DealPage, Failure> {
        let mut path = format!("{DEALS}?limit=100&properties={PROPERTIES}");
        if let Some(after) = after {
            path.push_str("&after=");
            path.extend(form_urlencoded::byte_serialize(after.as_bytes()));
        }
        self.page(&self.call(slot, Method::GET, path, DEALS, Body::None)).await
    }

    /// One page of the deals modified at or after an instant, oldest first.
    pub(crate) async fn modified(
        &self,
        slot: usize,
        since_ms: i64,
        after: Option<&str>,
    ) -> Result<DealPage, Failure> {
        let mut query = json!({
            "filterGroups": [{"filters": [
                {"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": since_ms.to_string()}
            ]}],
            "sorts": [{"propertyName": "hs_lastmodifieddate", "direction": "ASCENDING"}],
            "properties": PROPERTIES.split(',').collect::<Vec<_>>(),
            "limit": 100
        });
        if let Some(after) = after {
            query["after"] = after.into();
        }
        self.wording.json(SEARCH, &mut query);
        self.page(&self.call(slot, Method::POST, SEARCH.into(), SEARCH, Body::Json(query.to_string()))).await
    }

    async fn page(&self, call: &Call<'_>) -> Result<DealPage, Failure> {
        let reply = self.client.call(call).await?;
        let mut page = shape::read(&reply, Shape::DealPage, call.endpoint, self.strict)?;
        let next = page["paging"]["next"]["after"].as_str().map(str::to_owned);
        let deals = match page["results"].take() {
            Value::Array(deals) => deals,
            _ => Vec::new(),
        };
        Ok(DealPage { deals, next })
    }

    /// Overwrites a deal's amount (only for a deployment that takes invoices for the truth).
    pub(crate) async fn overwrite_amount(&self, slot: usize, id: &str, amount: &str) -> Result<(), Failure> {
        let body = Body::Json(json!({"properties": {"amount": amount}}).to_string());
        let call = self.call(slot, Method::PATCH, format!("{DEALS}/{id}"), DEAL, body);
        self.client.call(&call).await.map(drop)
    }
}
