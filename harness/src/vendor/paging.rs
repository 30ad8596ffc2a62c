//! Paging: which records a page holds, and how the next one is found.
//!
//! Knows: cursors, page numbers, offsets, Link fields (RFC 8288). Must not know: filters.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::time::{At, Span};
use crate::wire::Headers;

use super::errors::{Case, Refusal};
use super::shown::Sheet;
use super::store::{Ledger, Row};
use super::value::{Path, text_of};

/// How lists are paged.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagingSpec {
    /// The dialect.
    #[serde(default)]
    pub dialect: PagingDialect,
    /// Records a page when the client names no number; 20 by default.
    #[serde(default)]
    pub default: Option<u64>,
    /// The most records a page; 100 by default.
    #[serde(default)]
    pub max: Option<u64>,
    /// What happens to a larger number.
    #[serde(default)]
    pub over: Over,
    /// The parameter that names the number; `limit` by default.
    #[serde(default)]
    pub limit: Option<String>,
    /// The parameter that names the page, cursor, offset or time.
    #[serde(default)]
    pub param: Option<String>,
    /// The body's field that holds the records; a bare list without it.
    #[serde(default)]
    pub items: Option<String>,
    /// The body's field that holds the total, if there is one.
    #[serde(default)]
    pub total: Option<String>,
    /// For page tokens: how long one is good; for ever without it. A client that comes later must
    /// begin anew.
    #[serde(default)]
    pub expires: Option<Span>,
    /// Whether the newest come first.
    #[serde(default)]
    pub newest_first: bool,
    /// For offsets: where the list ends for whoever reads it page by page, however long it is. What
    /// begins there or beyond is refused.
    #[serde(default)]
    pub reach: Option<u64>,
    /// Further fields of the body; `$path` is the path that was asked.
    #[serde(default)]
    pub body: Map<String, Value>,
    /// For time cursors: the field compared.
    #[serde(default)]
    pub field: Option<Path>,
    /// For time cursors: whether the cursor's own instant is left out, which loses ties.
    #[serde(default)]
    pub strict: bool,
}

/// What an operation pages differently.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagingChange {
    /// See [`PagingSpec::dialect`].
    #[serde(default)]
    pub dialect: Option<PagingDialect>,
    /// See [`PagingSpec::default`].
    #[serde(default)]
    pub default: Option<u64>,
    /// See [`PagingSpec::max`]; the smaller of the two holds.
    #[serde(default)]
    pub max: Option<u64>,
    /// See [`PagingSpec::items`].
    #[serde(default)]
    pub items: Option<String>,
    /// See [`PagingSpec::total`].
    #[serde(default)]
    pub total: Option<String>,
    /// See [`PagingSpec::param`].
    #[serde(default)]
    pub param: Option<String>,
    /// See [`PagingSpec::newest_first`].
    #[serde(default)]
    pub newest_first: Option<bool>,
    /// See [`PagingSpec::reach`].
    #[serde(default)]
    pub reach: Option<u64>,
    /// See [`PagingSpec::body`].
    #[serde(default)]
    pub body: Option<Map<String, Value>>,
}

/// Ways of paging.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PagingDialect {
    /// `after`, the last id seen; `paging.next.{after,link}` (HubSpot).
    #[default]
    After,
    /// `after`, the number of records seen; `paging.next.after` (HubSpot search).
    AfterOffset,
    /// `starting_after`, `ending_before`, `has_more` (Stripe).
    StartingAfter,
    /// `page` as an opaque token, `next_page`, `has_more` (Stripe search).
    PageToken,
    /// `page` from 1, and a Link field (GitHub).
    PageNumber,
    /// `offset`, and `next_offset` while there is more.
    Offset,
    /// `since`, and `next_since` while there is more.
    TimeCursor,
}

/// What happens to a page size above the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// The most is taken, silently.
    #[default]
    Cap,
    /// The request is refused.
    Refuse,
}

/// One page.
pub struct Page<'l> {
    /// Its records.
    pub rows: Vec<&'l Row>,
    next: Option<String>,
    total: u64,
    number: u64,
    size: u64,
    more: bool,
    /// Whether [`Asked::most`] left something out.
    pub capped: bool,
}

/// What the client asked for: its parameters, and where.
pub struct Asked<'a> {
    /// The parameters, from the query or a body.
    pub params: &'a Map<String, Value>,
    /// The path.
    pub path: &'a str,
    /// The whole target.
    pub target: &'a str,
    /// The vendor's origin.
    pub origin: &'a str,
    /// The most that a vendor gives that capped its pages without notice.
    pub most: Option<u64>,
    /// The moment.
    pub now: At,
}

impl Asked<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.params.get(name).and_then(text_of).filter(|t| !t.is_empty())
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let invalid = |text: &str| {
            Refusal::case(Case::InvalidParameter)
                .with("param", name)
                .with("value", text)
                .with("wanted", "integer")
        };
        self.text(name).map(|t| t.parse().map_err(|_| invalid(&t))).transpose()
    }

    /// The same target with one query parameter changed.
    fn link(&self, name: &str, value: &str) -> String {
        let query = self.target.split_once('?').map_or("", |(_, q)| q);
        let mut out = form_urlencoded::Serializer::new(String::new());
        for (n, v) in form_urlencoded::parse(query.as_bytes()).filter(|(n, _)| n != name) {
            out.append_pair(&n, &v);
        }
        out.append_pair(name, value);
        format!("{}{}?{}", self.origin, self.path, out.finish())
    }
}

impl PagingSpec {
    /// This paging with an operation's own changes.
    pub fn changed(&self, change: Option<&PagingChange>) -> PagingSpec {
        let mut spec = self.clone();
        let Some(change) = change else { return spec };
        spec.dialect = change.dialect.unwrap_or(spec.dialect);
        spec.max = match (spec.max, change.max) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        spec.default = change.default.or(spec.default);
        spec.items = change.items.clone().or(spec.items);
        spec.total = change.total.clone().or(spec.total);
        spec.param = change.param.clone().or(spec.param);
        spec.newest_first = change.newest_first.unwrap_or(spec.newest_first);
        spec.reach = change.reach.or(spec.reach);
        spec.body = change.body.clone().unwrap_or(spec.body);
        spec
    }

    /// Names of the parameters that paging itself takes.
    pub fn knows(&self, name: &str) -> bool {
        name == self.limit_param()
            || name == self.param()
            || (self.dialect == PagingDialect::StartingAfter && name == "ending_before")
    }

    fn limit_param(&self) -> &str {
        self.limit.as_deref().unwrap_or("limit")
    }

    fn param(&self) -> &str {
        self.param.as_deref().unwrap_or(match self.dialect {
            PagingDialect::After | PagingDialect::AfterOffset => "after",
            PagingDialect::StartingAfter => "starting_after",
            PagingDialect::PageToken | PagingDialect::PageNumber => "page",
            PagingDialect::Offset => "offset",
            PagingDialect::TimeCursor => "since",
        })
    }

    fn size(&self, asked: &Asked<'_>) -> Result<u64, Refusal> {
        let max = self.max.unwrap_or(100).max(1);
        let Some(size) = asked.number(self.limit_param())? else {
            return Ok(self.default.unwrap_or(20).clamp(1, max));
        };
        if size == 0 || (size > max && self.over == Over::Refuse) {
            return Err(Refusal::case(Case::InvalidParameter)
                .with("param", self.limit_param())
                .with("value", size)
                .with("max", max)
                .with("wanted", "size"));
        }
        Ok(size.min(max))
    }

    /// Cuts the page that was asked for out of `rows`, which are in the order of the list.
    ///
    /// # Errors
    /// If the size or the cursor is none.
    pub fn page<'l>(
        &self,
        rows: Vec<(u64, &'l Row)>,
        ledger: &Ledger,
        asked: &Asked<'_>,
    ) -> Result<Page<'l>, Refusal> {
        let wanted = self.size(asked)?;
        let size = asked.most.map_or(wanted, |most| wanted.min(most));
        let cursor = asked.text(self.param());
        let bad =
            |cursor: &str| Refusal::case(Case::BadCursor).with("param", self.param()).with("value", cursor);
        let place = |id: &str, param: &str| {
            ledger
                .place(id)
                .ok_or_else(|| Refusal::case(Case::NoReferenced).with("param", param).with("id", id))
        };
        let total = rows.len() as u64;
        let mut number = 1;
        let all = rows.len();
        let beyond = |wanted: u64, at: u64| if self.newest_first { at < wanted } else { at > wanted };
        let mut start = match (self.dialect, &cursor) {
            (PagingDialect::PageNumber, _) => {
                number = asked.number(self.param())?.unwrap_or(1).max(1);
                usize::try_from((number - 1).saturating_mul(size)).unwrap_or(all)
            }
            (_, None) => 0,
            (PagingDialect::After, Some(id)) => {
                let at = ledger.place(id).ok_or_else(|| bad(id))?;
                rows.iter().position(|(n, _)| beyond(at, *n)).unwrap_or(all)
            }
            (PagingDialect::StartingAfter, Some(id)) => {
                let at = place(id, "starting_after")?;
                rows.iter().position(|(n, _)| beyond(at, *n)).unwrap_or(all)
            }
            (PagingDialect::PageToken, Some(token)) => {
                self.place_of(token, asked.now).ok_or_else(|| bad(token))?
            }
            (PagingDialect::AfterOffset | PagingDialect::Offset, Some(text)) => {
                let at = text.parse::<u64>().map_err(|_| bad(text))?;
                if self.reach.is_some_and(|reach| at >= reach) {
                    return Err(bad(text));
                }
                usize::try_from(at).unwrap_or(all)
            }
            (PagingDialect::TimeCursor, Some(since)) => {
                let found = rows.iter().position(|(_, row)| {
                    let time = self.time(row);
                    if self.strict { time > *since } else { time >= *since }
                });
                found.unwrap_or(all)
            }
        };
        start = start.min(all);
        let mut end = start.saturating_add(size as usize).min(all);
        let mut more = end < all;
        if self.dialect == PagingDialect::StartingAfter
            && let Some(id) = asked.text("ending_before")
        {
            let at = place(&id, "ending_before")?;
            end = rows.iter().position(|(n, _)| *n == at || beyond(at, *n)).unwrap_or(all);
            start = end.saturating_sub(size as usize);
            more = start > 0;
        }
        let next = more.then(|| match self.dialect {
            PagingDialect::After | PagingDialect::StartingAfter => {
                rows[..end].last().map(|(_, row)| row.id.to_string()).unwrap_or_default()
            }
            PagingDialect::PageToken => self.token(end, asked.now),
            PagingDialect::AfterOffset | PagingDialect::Offset => end.to_string(),
            PagingDialect::PageNumber => (number + 1).to_string(),
            PagingDialect::TimeCursor => {
                rows[..end].last().map(|(_, row)| self.time(row)).unwrap_or_default()
            }
        });
        let rows = rows[start..end].iter().map(|(_, row)| *row).collect();
        let capped = size < wanted && more;
        Ok(Page { rows, next, total, number, size, more, capped })
    }

    /// The token of the page that begins at `place`.
    fn token(&self, place: usize, now: At) -> String {
        hex::encode(match self.expires {
            Some(_) => format!("{place}@{}", now.0),
            None => place.to_string(),
        })
    }

    /// Where the page of a token begins; nothing if it is none, or no longer good.
    fn place_of(&self, token: &str, now: At) -> Option<usize> {
        let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
        let Some(expires) = self.expires else { return text.parse().ok() };
        let (place, made) = text.split_once('@')?;
        let made = At(made.parse().ok()?);
        if now.since(made) >= expires { None } else { place.parse().ok() }
    }

    fn time(&self, row: &Row) -> String {
        self.field.as_ref().and_then(|f| f.get(&row.record)).and_then(text_of).unwrap_or_default()
    }

    /// The body and the Link field of a page, its records already as they are shown.
    pub(super) fn write<I>(
        &self,
        page: &Page<'_>,
        items: Vec<I>,
        asked: &Asked<'_>,
        headers: &mut Headers,
    ) -> Sheet<I> {
        let mut body = Map::new();
        for (name, value) in &self.body {
            body.insert(name.clone(), if value == "$path" { json!(asked.path) } else { value.clone() });
        }
        if let Some(total) = &self.total {
            body.insert(total.clone(), json!(page.total));
        }
        let Some(field) = &self.items else {
            self.link_field(page, asked, headers);
            return Sheet { around: None, items };
        };
        body.insert(field.clone(), Value::Null);
        match self.dialect {
            PagingDialect::After => {
                if let Some(next) = &page.next {
                    let link = asked.link(self.param(), next);
                    body.insert("paging".into(), json!({ "next": { "after": next, "link": link } }));
                }
            }
            PagingDialect::AfterOffset => {
                if let Some(next) = &page.next {
                    body.insert("paging".into(), json!({ "next": { "after": next } }));
                }
            }
            PagingDialect::StartingAfter => {
                body.insert("has_more".into(), json!(page.more));
            }
            PagingDialect::PageToken => {
                body.insert("has_more".into(), json!(page.more));
                body.insert("next_page".into(), json!(page.next));
            }
            PagingDialect::PageNumber => self.link_field(page, asked, headers),
            PagingDialect::Offset => {
                if let Some(next) = page.next.as_ref().and_then(|n| n.parse::<u64>().ok()) {
                    body.insert("next_offset".into(), json!(next));
                }
            }
            PagingDialect::TimeCursor => {
                if let Some(next) = &page.next {
                    body.insert("next_since".into(), json!(next));
                }
            }
        }
        Sheet { around: Some((body, field.clone())), items }
    }

    fn link_field(&self, page: &Page<'_>, asked: &Asked<'_>, headers: &mut Headers) {
        if self.dialect != PagingDialect::PageNumber {
            return;
        }
        let last = page.total.div_ceil(page.size.max(1)).max(1);
        let mut links = Vec::new();
        let mut add = |rel: &str, number: u64| {
            links.push(format!("<{}>; rel=\"{rel}\"", asked.link(self.param(), &number.to_string())));
        };
        if page.number > 1 {
            add("prev", page.number - 1);
        }
        if page.more {
            add("next", page.number + 1);
            add("last", last);
        }
        if page.number > 1 {
            add("first", 1);
        }
        if !links.is_empty() {
            headers.set("link", links.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn ledger(count: usize) -> Ledger {
        let mut ledger = Ledger::default();
        for i in 0..count {
            let at = format!("2026-01-01T00:00:{:02}", i);
            ledger.put(format!("r{i}").into(), Arc::new(json!({ "at": at })), At::START);
        }
        ledger
    }

    fn walk(spec: &PagingSpec, ledger: &Ledger, size: u64) -> Vec<String> {
        let mut seen = Vec::new();
        let mut params = Map::new();
        params.insert("limit".into(), json!(size));
        loop {
            let asked = Asked {
                params: &params,
                path: "/x",
                target: "/x?limit=2&a=b",
                origin: "https://v.test",
                most: None,
                now: At::START,
            };
            let mut rows: Vec<_> = ledger.rows().collect();
            if spec.newest_first {
                rows.reverse();
            }
            let page = spec.page(rows, ledger, &asked).unwrap();
            seen.extend(page.rows.iter().map(|r| r.id.to_string()));
            let Some(next) = page.next else { break };
            params.insert(spec.param().to_owned(), json!(next));
            assert!(seen.len() < 1_000, "paging never ends");
        }
        seen
    }

    fn asked(params: &Value, now: At) -> Asked<'_> {
        let params = params.as_object().unwrap();
        Asked { params, path: "/", target: "/", origin: "", most: None, now }
    }

    #[test]
    fn a_token_that_expired_is_refused_and_a_fresh_one_is_not() {
        let ledger = ledger(5);
        let spec = PagingSpec {
            dialect: PagingDialect::PageToken,
            expires: Some(Span::mins(5)),
            ..PagingSpec::default()
        };
        let page = |params: &Value, now| spec.page(ledger.rows().collect(), &ledger, &asked(params, now));
        let first = page(&json!({ "limit": 2 }), At(1_000_000)).unwrap();
        let next = json!({ "limit": 2, "page": first.next.unwrap() });
        let second = page(&next, At(300_999_999)).unwrap();
        assert_eq!(second.rows.iter().map(|r| r.id.as_ref()).collect::<Vec<_>>(), ["r2", "r3"]);
        assert!(page(&next, At(301_000_000)).is_err());
        assert!(page(&json!({ "page": hex::encode("2") }), At::START).is_err());
    }

    proptest::proptest! {
        #[test]
        fn following_the_pages_visits_every_record_exactly_once(
            count in 0usize..50, size in 1u64..12, newest_first: bool,
        ) {
            let ledger = ledger(count);
            let mut every: Vec<String> = (0..count).map(|i| format!("r{i}")).collect();
            if newest_first {
                every.reverse();
            }
            for dialect in [
                PagingDialect::After, PagingDialect::AfterOffset, PagingDialect::StartingAfter,
                PagingDialect::PageToken, PagingDialect::PageNumber, PagingDialect::Offset,
            ] {
                let spec = PagingSpec { dialect, newest_first, ..PagingSpec::default() };
                proptest::prop_assert_eq!(&walk(&spec, &ledger, size), &every, "{:?}", dialect);
            }
            let spec = PagingSpec {
                dialect: PagingDialect::TimeCursor, strict: true, field: Some(Path::new("at")),
                ..PagingSpec::default()
            };
            every.sort_by_key(|id| id[1..].parse::<u32>().unwrap_or(0));
            proptest::prop_assert_eq!(&walk(&spec, &ledger, size), &every);
        }
    }

    #[test]
    fn a_page_number_comes_with_links_to_its_neighbours() {
        let ledger = ledger(5);
        let spec = PagingSpec { dialect: PagingDialect::PageNumber, ..PagingSpec::default() };
        let params = json!({ "limit": "2", "page": "2" });
        let asked = Asked {
            params: params.as_object().unwrap(),
            path: "/x",
            target: "/x?limit=2&page=2",
            origin: "https://v.test",
            most: None,
            now: At::START,
        };
        let page = spec.page(ledger.rows().collect(), &ledger, &asked).unwrap();
        let mut headers = Headers::default();
        let items = page.rows.iter().map(|r| json!(r.id.as_ref())).collect();
        let body = spec.write(&page, items, &asked, &mut headers);
        assert_eq!(serde_json::to_value(&body).unwrap(), json!(["r2", "r3"]));
        assert_eq!(
            headers.get("link").unwrap(),
            "<https://v.test/x?limit=2&page=1>; rel=\"prev\", <https://v.test/x?limit=2&page=3>; rel=\"next\", \
             <https://v.test/x?limit=2&page=3>; rel=\"last\", <https://v.test/x?limit=2&page=1>; rel=\"first\""
        );
    }

    #[test]
    fn a_page_is_capped_or_the_size_refused() {
        let ledger = ledger(5);
        let mut spec = PagingSpec { max: Some(3), ..PagingSpec::default() };
        let params = json!({ "limit": 50 });
        let asked = asked(&params, At::START);
        assert_eq!(spec.page(ledger.rows().collect(), &ledger, &asked).unwrap().rows.len(), 3);
        spec.over = Over::Refuse;
        assert!(spec.page(ledger.rows().collect(), &ledger, &asked).is_err());
    }

    #[test]
    fn a_list_is_read_as_far_as_it_reaches_and_no_further() {
        let ledger = ledger(9);
        let spec =
            PagingSpec { dialect: PagingDialect::AfterOffset, reach: Some(6), ..PagingSpec::default() };
        let page = |after: &str| {
            let params = json!({ "limit": 3, "after": after });
            spec.page(ledger.rows().collect(), &ledger, &asked(&params, At::START)).map(|page| page.next)
        };
        assert_eq!(page("3").ok().flatten().as_deref(), Some("6"));
        assert!(page("6").is_err() && page("99999999999999999999").is_err());
        let change = PagingChange { reach: Some(7), ..PagingChange::default() };
        assert_eq!(spec.changed(Some(&change)).reach, Some(7));
    }

    #[test]
    fn ending_before_gives_the_page_just_before() {
        let ledger = ledger(6);
        let spec = PagingSpec { dialect: PagingDialect::StartingAfter, ..PagingSpec::default() };
        let params = json!({ "limit": 2, "ending_before": "r4" });
        let asked = asked(&params, At::START);
        let page = spec.page(ledger.rows().collect(), &ledger, &asked).unwrap();
        assert_eq!(page.rows.iter().map(|r| r.id.as_ref()).collect::<Vec<_>>(), ["r2", "r3"]);
        assert!(page.more);
    }
}
