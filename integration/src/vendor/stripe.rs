//! Stripe's customers and invoices. Knows forms, lists and ids; must not know deals beyond their metadata.

use std::sync::Arc;

use http::Method;
use serde_json::Value;

use crate::auth::ApiKey;
use crate::client::{Body, Call, Failure, KeySource, Reply, VendorClient};
use crate::shape::{self, Shape};

/// Customers and invoices, read and written.
pub(crate) struct Stripe {
    pub(crate) client: Arc<VendorClient>,
    pub(crate) key: ApiKey,
    pub(crate) strict: bool,
}

/// An invoice, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invoice {
    pub id: String,
    pub customer: String,
    pub status: String,
    pub currency: String,
    /// In minor units.
    pub amount_due: i64,
    pub deal_id: Option<String>,
    pub revision: Option<u32>,
    /// The vendor says that it has answered this before: what it shows may be out of date.
    pub replayed: bool,
}

impl Invoice {
    fn read(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let metadata = |name: &str| value["metadata"][name].as_str();
        Self {
            id: text("id"),
            customer: text("customer"),
            status: text("status"),
            currency: text("currency"),
            amount_due: shape::whole(&value["amount_due"]).unwrap_or_default(),
            deal_id: metadata("deal_id").map(str::to_owned),
            revision: metadata("deal_revision").and_then(|text| text.parse().ok()),
            replayed: false,
        }
    }

    /// Neither voided nor deleted.
    pub(crate) fn is_live(&self) -> bool {
        self.status != "void"
    }
}

const CUSTOMERS: &str = "/v1/customers";
const CUSTOMER: &str = "/v1/customers/{id}";
const INVOICES: &str = "/v1/invoices";
const INVOICE: &str = "/v1/invoices/{id}";
const FINALIZE: &str = "/v1/invoices/{id}/finalize";
const VOID: &str = "/v1/invoices/{id}/void";
const ITEMS: &str = "/v1/invoiceitems";

/// Encodes a form, brackets and all.
pub(crate) fn form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

impl Stripe {
    fn get(&self, slot: usize, path: String, endpoint: &'static str) -> Call<'_> {
        let credentials: Option<&dyn crate::client::Credentials> = Some(&self.key);
        Call {
            method: Method::GET,
            path,
            endpoint,
            body: Body::None,
            credentials,
            key: None,
            read: true,
            slot,
        }
    }

    async fn post(
        &self,
        slot: usize,
        path: String,
        endpoint: &'static str,
        form: String,
        key: &dyn KeySource,
    ) -> Result<Reply, Failure> {
        let call = Call {
            method: Method::POST,
            path,
            endpoint,
            body: Body::Form(form),
            credentials: Some(&self.key),
            key: Some(key),
            read: false,
            slot,
        };
        self.client.call(&call).await
    }

    fn invoice_of(&self, reply: &Reply, endpoint: &str) -> Result<Invoice, Failure> {
        let value = shape::read(reply, Shape::Invoice, endpoint, self.strict)?;
        Ok(Invoice { replayed: reply.replayed, ..Invoice::read(&value) })
    }

    /// The customer with this address: the oldest, should there be several.
    pub(crate) async fn customer_by_email(
        &self,
        slot: usize,
        email: &str,
    ) -> Result<Option<String>, Failure> {
        let path = format!("{CUSTOMERS}?{}", form([("email", email), ("limit", "100")]));
        let reply = self.client.call(&self.get(slot, path, CUSTOMERS)).await?;
        let list = shape::read(&reply, Shape::List, CUSTOMERS, self.strict)?;
        let mut oldest: Option<(i64, String)> = None;
        for customer in list["data"].as_array().into_iter().flatten() {
            if self.strict {
                checked(customer, Shape::Customer, CUSTOMERS)?;
            }
            if customer["email"].as_str().is_some_and(|found| !found.eq_ignore_ascii_case(email)) {
                continue;
            }
            let created = shape::whole(&customer["created"]).unwrap_or(0);
            let age = (created, customer["id"].as_str().unwrap_or("").to_owned());
            oldest = Some(oldest.map_or(age.clone(), |so_far| so_far.min(age)));
        }
        Ok(oldest.map(|(_, id)| id))
    }

    /// Whether the customer is there and has this address.
    pub(crate) async fn is_customer(&self, slot: usize, id: &str, email: &str) -> Result<bool, Failure> {
        let reply = match self.client.call(&self.get(slot, format!("{CUSTOMERS}/{id}"), CUSTOMER)).await {
            Err(failure) if failure.is_missing() => return Ok(false),
            reply => reply?,
        };
        let customer = shape::read(&reply, Shape::Customer, CUSTOMER, self.strict)?;
        let found = customer["email"].as_str().is_some_and(|found| found.eq_ignore_ascii_case(email));
        Ok(found && customer["id"] == id && customer["deleted"] != true)
    }

    pub(crate) async fn create_customer(
        &self,
        slot: usize,
        form: String,
        key: &dyn KeySource,
    ) -> Result<String, Failure> {
        let reply = self.post(slot, CUSTOMERS.into(), CUSTOMERS, form, key).await?;
        let value = shape::read(&reply, Shape::Customer, CUSTOMERS, self.strict)?;
        Ok(value["id"].as_str().unwrap_or_default().to_owned())
    }

    /// One page of invoices, with whether there are more.
    pub(crate) async fn invoices(
        &self,
        slot: usize,
        customer: Option<&str>,
        after: Option<&str>,
    ) -> Result<(Vec<Invoice>, bool), Failure> {
        let mut pairs = vec![("limit", "100")];
        pairs.extend(customer.map(|customer| ("customer", customer)));
        pairs.extend(after.map(|after| ("starting_after", after)));
        let path = format!("{INVOICES}?{}", form(pairs));
        let reply = self.client.call(&self.get(slot, path, INVOICES)).await?;
        let list = shape::read(&reply, Shape::List, INVOICES, self.strict)?;
        let mut invoices = Vec::new();
        for value in list["data"].as_array().into_iter().flatten() {
            if self.strict {
                checked(value, Shape::Invoice, INVOICES)?;
            }
            invoices.push(Invoice::read(value));
        }
        Ok((invoices, list["has_more"].as_bool() == Some(true)))
    }

    /// An invoice; `None` when it is gone.
    pub(crate) async fn invoice(&self, slot: usize, id: &str) -> Result<Option<Invoice>, Failure> {
        match self.client.call(&self.get(slot, format!("{INVOICES}/{id}"), INVOICE)).await {
            Ok(reply) => {
                let invoice = self.invoice_of(&reply, INVOICE)?;
                Ok(Some(invoice))
            }
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) async fn create_invoice(
        &self,
        slot: usize,
        form: String,
        key: &dyn KeySource,
    ) -> Result<Invoice, Failure> {
        let reply = self.post(slot, INVOICES.into(), INVOICES, form, key).await?;
        self.invoice_of(&reply, INVOICES)
    }

    pub(crate) async fn create_item(
        &self,
        slot: usize,
        form: String,
        key: &dyn KeySource,
        amount: i64,
        currency: &str,
    ) -> Result<(), Failure> {
        let reply = self.post(slot, ITEMS.into(), ITEMS, form, key).await?;
        let item = shape::read(&reply, Shape::InvoiceItem, ITEMS, self.strict)?;
        if self.strict && (shape::whole(&item["amount"]) != Some(amount) || item["currency"] != currency) {
            let reason =
                format!("asked for {amount} {currency}, got {} {}", item["amount"], item["currency"]);
            return Err(Failure::Invalid { source: ITEMS.into(), reason, payload: item.to_string() });
        }
        Ok(())
    }

    pub(crate) async fn finalise(
        &self,
        slot: usize,
        id: &str,
        form: String,
        key: &dyn KeySource,
    ) -> Result<Invoice, Failure> {
        let reply = self.post(slot, format!("{INVOICES}/{id}/finalize"), FINALIZE, form, key).await?;
        self.invoice_of(&reply, FINALIZE)
    }

    pub(crate) async fn void(&self, slot: usize, id: &str, key: &dyn KeySource) -> Result<Invoice, Failure> {
        let reply = self.post(slot, format!("{INVOICES}/{id}/void"), VOID, String::new(), key).await?;
        self.invoice_of(&reply, VOID)
    }

    /// Deletes a draft. Repeating it does no harm: what is gone is gone.
    pub(crate) async fn delete_draft(&self, slot: usize, id: &str) -> Result<(), Failure> {
        let call = Call { method: Method::DELETE, ..self.get(slot, format!("{INVOICES}/{id}"), INVOICE) };
        match self.client.call(&call).await {
            Ok(reply) => shape::read(&reply, Shape::Deleted, INVOICE, self.strict).map(drop),
            Err(failure) if failure.is_missing() => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

fn checked(value: &Value, shape: Shape, source: &str) -> Result<(), Failure> {
    shape::check(shape, value).map_err(|reason| Failure::Invalid {
        source: source.to_owned(),
        reason,
        payload: value.to_string(),
    })
}
