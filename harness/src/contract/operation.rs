//! The index of operations: what may be asked, and where its schemas stand in the raw document.
//!
//! Knows: paths and how they match, parameters, statuses, media types. Must not know: schemas.

use percent_encoding::percent_decode_str;

/// One operation of an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The method, upper case.
    pub method: String,
    /// The path template: `/v1/invoices/{invoice}`.
    pub path: String,
    /// Its `operationId`, if it has one.
    pub id: Option<String>,
    /// Where it stands in the raw document.
    pub pointer: String,
    /// Whether the vendor means to remove it.
    pub deprecated: bool,
    /// Its parameters; one given at the path and again at the operation is as the operation says.
    pub parameters: Vec<Parameter>,
    /// The request body, if it takes one.
    pub body: Option<RequestBody>,
    /// Its documented answers.
    pub answers: Vec<Answer>,
    /// The names of parameters that may hold slashes (GitHub's `x-multi-segment`).
    pub slashed: Vec<String>,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In a header field.
    Header,
    /// In a cookie.
    Cookie,
}

/// A parameter of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// Whether it must be sent.
    pub required: bool,
    /// How lists and objects are spelt.
    pub style: Style,
    /// Whether each item of a list is a pair of its own.
    pub explode: bool,
    /// Where its schema stands; none if it is described by a media type instead.
    pub schema: Option<String>,
}

/// How a parameter that is a list or an object is spelt (OpenAPI 3.1 §4.8.12.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `a,b` in a path or header field.
    Simple,
    /// `x=a&x=b`, or `x=a,b` when not exploded.
    Form,
    /// `x=a b`.
    Space,
    /// `x=a|b`.
    Pipe,
    /// `x[a]=1&x[b]=2`.
    Deep,
    /// `;x=a` and `.a`: not judged.
    Other,
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestBody {
    /// Whether it must be sent.
    pub required: bool,
    /// By media type.
    pub content: Vec<Media>,
}

/// A documented answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For which status codes.
    pub status: Status,
    /// Where it stands in the raw document, references followed.
    pub pointer: String,
    /// Its bodies, by media type; none if it has no body.
    pub content: Vec<Media>,
}

/// The status codes that an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// One code.
    Code(u16),
    /// A class: 2 for `2XX`.
    Class(u8),
    /// Every other.
    Default,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Status::Code(code) => write!(f, "{code}"),
            Status::Class(class) => write!(f, "{class}XX"),
            Status::Default => f.write_str("default"),
        }
    }
}

impl Status {
    pub(super) fn parse(text: &str) -> Option<Status> {
        match text.as_bytes() {
            b"default" => Some(Status::Default),
            [class @ b'1'..=b'5', b'X' | b'x', b'X' | b'x'] => Some(Status::Class(class - b'0')),
            [b'1'..=b'5', _, _] => text.parse().ok().map(Status::Code),
            _ => None,
        }
    }
}

/// A media type, or a range of them, with its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// As documented: `application/json`, `text/*`.
    pub range: String,
    /// Where its schema stands, if it has one.
    pub schema: Option<String>,
}

impl Operation {
    /// What it is called in messages: `GET /v1/invoices/{invoice}`.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The documented answer that speaks for `status`: the code itself, then its class, then
    /// `default` (OpenAPI 3.0.3, Responses Object).
    pub fn answer(&self, status: u16) -> Option<&Answer> {
        let class = u8::try_from(status / 100).unwrap_or(0);
        [Status::Code(status), Status::Class(class), Status::Default]
            .into_iter()
            .find_map(|wanted| self.answers.iter().find(|a| a.status == wanted))
    }

    /// The decoded arguments of `path`, and how exactly it matches; none if it does not.
    pub(super) fn matches(&self, path: &str) -> Option<(Exactness, Vec<(String, String)>)> {
        let template: Vec<&str> = self.path.split('/').collect();
        let asked: Vec<&str> = path.split('/').collect();
        let mut arguments = Vec::new();
        let exactness = fit(&template, &asked, &self.slashed, &mut arguments)?;
        Some((exactness, arguments))
    }
}

/// How exactly a path matches, segment by segment; the greater wins.
pub(super) type Exactness = Vec<u8>;

fn fit(
    template: &[&str],
    asked: &[&str],
    slashed: &[String],
    arguments: &mut Vec<(String, String)>,
) -> Option<Exactness> {
    let (Some((wanted, template)), Some((given, rest))) = (template.split_first(), asked.split_first())
    else {
        return (template.is_empty() && asked.is_empty()).then(Vec::new);
    };
    let before = arguments.len();
    let name = wanted.strip_prefix('{').and_then(|w| w.strip_suffix('}')).filter(|n| !n.contains(['{', '}']));
    if let Some(name) = name.filter(|name| slashed.iter().any(|s| s == name)) {
        // As few segments as will do.
        return (1..=asked.len()).find_map(|n| {
            arguments.truncate(before);
            arguments.push((name.to_owned(), decode(&asked[..n].join("/"))));
            let tail = fit(template, &asked[n..], slashed, arguments)?;
            Some([&[0], tail.as_slice()].concat())
        });
    }
    let exact = if let Some(name) = name {
        if given.is_empty() {
            return None;
        }
        arguments.push((name.to_owned(), decode(given)));
        1
    } else if wanted.contains('{') {
        pieces(wanted, given, arguments)?;
        2
    } else if *wanted == *given || *wanted == decode(given) {
        3
    } else {
        return None;
    };
    match fit(template, rest, slashed, arguments) {
        Some(tail) => Some([&[exact], tail.as_slice()].concat()),
        None => {
            arguments.truncate(before);
            None
        }
    }
}

/// Fits a segment such as `{base}...{head}`.
fn pieces(wanted: &str, given: &str, arguments: &mut Vec<(String, String)>) -> Option<()> {
    let (first, mut wanted) = wanted.split_once('{')?;
    let mut given = given.strip_prefix(first)?;
    loop {
        let (name, after) = wanted.split_once('}')?;
        let (literal, next) = after.split_once('{').map_or((after, None), |(l, n)| (l, Some(n)));
        let end = match (literal, next) {
            ("", None) => given.len(),
            (literal, None) => given.strip_suffix(literal)?.len(),
            (literal, Some(_)) => given.find(literal)?,
        };
        if end == 0 {
            return None;
        }
        arguments.push((name.to_owned(), decode(&given[..end])));
        given = &given[end + literal.len()..];
        match next {
            Some(next) => wanted = next,
            None => return given.is_empty().then_some(()),
        }
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
