// SPDX-License-Identifier: Apache-2.0
//! Which events a subscriber wants: a regular expression per field, all of which must match.

use regex::{Regex, RegexBuilder};
use serde_json::Value as Json;

use crate::export::document::{container_field, hostname, region};
use crate::signal::Event;

/// Fields that can be filtered by.
pub const FILTER_FIELDS: [&str; 6] = [
    "tracer_name",
    "hostname",
    "container_hostname",
    "container_host_namespace",
    "region",
    "container_qos",
];

/// Bytes a compiled expression may take; a subscriber must not fill our memory.
const MAX_REGEX: usize = 1 << 20;

/// Compiled once per subscriber.
#[derive(Debug, Default)]
pub struct Filters(Vec<(&'static str, Regex)>);

impl Filters {
    /// From the body of a request, `{"filters": {field: expression, …}}`. An empty body and empty
    /// expressions filter nothing. The error names the field.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let body: Json = serde_json::from_slice(body).map_err(|e| format!("body: {e}"))?;
        let Json::Object(keys) = body else { return Err("body: must be an object".to_owned()) };
        let mut filters = Vec::new();
        for (key, value) in keys {
            match (key.as_str(), value) {
                ("filters", Json::Object(fields)) => {
                    for (field, pattern) in fields {
                        filters.extend(filter(&field, &pattern)?);
                    }
                }
                ("filters", Json::Null) => {}
                ("filters", _) => return Err("filters: must be an object".to_owned()),
                (other, _) => return Err(format!("{other}: unknown field; `filters` is known")),
            }
        }
        Ok(Self(filters))
    }

    /// Whether a subscriber wants `event`.
    pub fn pass(&self, event: &Event) -> bool {
        self.0.iter().all(|(field, regex)| {
            regex.is_match(match *field {
                "tracer_name" => event.def.legacy.tracer,
                "hostname" => hostname(event),
                "region" => region(event),
                container => container_field(event, container),
            })
        })
    }
}

fn filter(field: &str, pattern: &Json) -> Result<Option<(&'static str, Regex)>, String> {
    let Some(known) = FILTER_FIELDS.into_iter().find(|known| *known == field) else {
        let known = FILTER_FIELDS.join(", ");
        return Err(format!("filters.{field}: unknown field; known are {known}"));
    };
    match pattern {
        Json::Null => Ok(None),
        Json::String(text) if text.is_empty() => Ok(None),
        Json::String(text) => {
            let compiled = RegexBuilder::new(text).size_limit(MAX_REGEX).build();
            let regex = compiled.map_err(|error| {
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("filters.{known}: `{text}` is not a regular expression: {reason}")
            })?;
            Ok(Some((known, regex)))
        }
        _ => Err(format!("filters.{known}: must be a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::document::tests::oom;

    fn passes(body: &str) -> bool {
        Filters::parse(body.as_bytes()).unwrap().pass(&oom("c0ffee"))
    }

    #[test]
    fn nothing_said_means_everything() {
        for body in ["", " \n", "{}", r#"{"filters":{}}"#, r#"{"filters":{"hostname":""}}"#] {
            assert!(passes(body), "{body}");
        }
    }

    #[test]
    fn all_filters_must_match() {
        assert!(passes(r#"{"filters":{"tracer_name":"^oom$","hostname":"node"}}"#));
        assert!(!passes(r#"{"filters":{"tracer_name":"^oom$","hostname":"^other"}}"#));
        assert!(passes(r#"{"filters":{"container_host_namespace":"^prod$"}}"#));
        assert!(!passes(r#"{"filters":{"container_qos":"burstable"}}"#));
        assert!(passes(r#"{"filters":{"region":"dev"}}"#));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, start) in [
            ("{", "body: "),
            ("[]", "body: "),
            (r#"{"filter":{}}"#, "filter: unknown field"),
            (r#"{"filters":[]}"#, "filters: must be an object"),
            (r#"{"filters":{"tracer":"x"}}"#, "filters.tracer: unknown field"),
            (r#"{"filters":{"region":5}}"#, "filters.region: must be a text"),
            (r#"{"filters":{"hostname":"("}}"#, "filters.hostname: `(` is not a regular"),
            (r#"{"filters":{"hostname":"(\\w{1000}){1000}"}}"#, "filters.hostname: "),
        ] {
            let error = Filters::parse(body.as_bytes()).unwrap_err();
            assert!(error.starts_with(start), "{body}: {error}");
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let length = random.usize(..60);
            let alphabet = b"{}[]\":,filtersnamtc_o^$\\(*\x00\xff 1";
            let body: Vec<u8> =
                (0..length).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
            let _ = Filters::parse(&body);
        }
    }
}
