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
    /// As the customer was when it was finalised.
    pub customer_name: Option<String>,
    pub customer_email: Option<String>,
    /// What its first line is for.
    pub description: Option<String>,
    /// In seconds since the epoch, as we wrote it.
    pub deal_closed_at: Option<String>,
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
            customer_name: value["customer_name"].as_str().map(str::to_owned),
            customer_email: value["customer_email"].as_str().map(str::to_owned),
            description: value["lines"]["data"][0]["description"].as_str().map(str::to_owned),
            deal_closed_at: metadata("deal_closed_at").map(str::to_owned),
            replayed: false,
        }
    }

    /// Neither voided nor deleted.
    pub(crate) fn is_live(&self) -> bool {
        self.status != "void"
    }
}

/// A customer, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Customer {
    pub id: String,
    pub email: Option<String>,
    /// Empty if it has none, `None` if the answer does not say.
    name: Option<String>,
    created: i64,
    /// As of an invoice.
    pub replayed: bool,
}

impl Customer {
    fn read(value: &Value) -> Self {
        Self {
            id: value["id"].as_str().unwrap_or_default().to_owned(),
            email: value["email"].as_str().map(str::to_owned),
            name: value.get("name").map(|name| name.as_str().unwrap_or_default().to_owned()),
            created: shape::whole(&value["created"]).unwrap_or(0),
            replayed: false,
        }
    }

    /// Whether it has this name, or does not say which.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name.as_deref().is_none_or(|own| own == name)
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
    ) -> Result<Option<Customer>, Failure> {
        let path = format!("{CUSTOMERS}?{}", form([("email", email), ("limit", "100")]));
        let reply = self.client.call(&self.get(slot, path, CUSTOMERS)).await?;
        let list = shape::read(&reply, Shape::List, CUSTOMERS, self.strict)?;
        let mut found = Vec::new();
        for value in list["data"].as_array().into_iter().flatten() {
            if self.strict {
                checked(value, Shape::Customer, CUSTOMERS)?;
            }
            let customer = Customer::read(value);
            if customer.email.as_ref().is_none_or(|own| own.eq_ignore_ascii_case(email)) {
                found.push(customer);
            }
        }
        Ok(found.into_iter().min_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id))))
    }

    /// A customer; `None` when it is gone.
    pub(crate) async fn customer(&self, slot: usize, id: &str) -> Result<Option<Customer>, Failure> {
        let reply = match self.client.call(&self.get(slot, format!("{CUSTOMERS}/{id}"), CUSTOMER)).await {
            Err(failure) if failure.is_missing() => return Ok(None),
            reply => reply?,
        };
        let value = shape::read(&reply, Shape::Customer, CUSTOMER, self.strict)?;
        Ok((value["id"] == id && value["deleted"] != true).then(|| Customer::read(&value)))
    }

    pub(crate) async fn create_customer(
        &self,
        slot: usize,
        form: String,
        key: &dyn KeySource,
    ) -> Result<Customer, Failure> {
        let reply = self.post(slot, CUSTOMERS.into(), CUSTOMERS, form, key).await?;
        self.customer_of(&reply, CUSTOMERS)
    }

    pub(crate) async fn update_customer(
        &self,
        slot: usize,
        id: &str,
        form: String,
        key: &dyn KeySource,
    ) -> Result<Customer, Failure> {
        let reply = self.post(slot, format!("{CUSTOMERS}/{id}"), CUSTOMER, form, key).await?;
        self.customer_of(&reply, CUSTOMER)
    }

    fn customer_of(&self, reply: &Reply, endpoint: &str) -> Result<Customer, Failure> {
        let value = shape::read(reply, Shape::Customer, endpoint, self.strict)?;
        Ok(Customer { replayed: reply.replayed, ..Customer::read(&value) })
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
