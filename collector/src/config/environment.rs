// SPDX-License-Identifier: Apache-2.0
//! The `OTEL_*` variables (OpenTelemetry specification, "Environment Variable Specification" and
//! "OpenTelemetry Protocol Exporter"). An empty variable is an unset one.

use toml::{Table, Value};

use super::walk::Problem;

/// Reads a variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One value of the environment.
pub(super) struct Setting {
    pub path: Vec<&'static str>,
    pub value: Value,
    pub variable: String,
}

/// How a variable's text becomes a value.
#[derive(Clone, Copy)]
enum Form {
    /// As it is.
    Text,
    /// Milliseconds into seconds.
    Milliseconds,
    /// `key=value` with commas between, percent-encoded.
    Pairs,
}

const SECTIONS: [(&str, &[&str]); 4] = [
    ("", &["Otlp"]),
    ("METRICS_", &["Otlp", "Metrics"]),
    ("LOGS_", &["Otlp", "Logs"]),
    ("TRACES_", &["Otlp", "Traces"]),
];

const OF_EXPORTER: [(&str, &str, Form); 8] = [
    ("ENDPOINT", "Endpoint", Form::Text),
    ("PROTOCOL", "Protocol", Form::Text),
    ("HEADERS", "Headers", Form::Pairs),
    ("COMPRESSION", "Compression", Form::Text),
    ("TIMEOUT", "Timeout", Form::Milliseconds),
    ("CERTIFICATE", "Certificate", Form::Text),
    ("CLIENT_CERTIFICATE", "ClientCertificate", Form::Text),
    ("CLIENT_KEY", "ClientKey", Form::Text),
];

const GENERAL: [(&str, &str, Form); 3] = [
    ("OTEL_SERVICE_NAME", "ServiceName", Form::Text),
    ("OTEL_RESOURCE_ATTRIBUTES", "ResourceAttributes", Form::Pairs),
    ("OTEL_METRIC_EXPORT_INTERVAL", "Interval", Form::Milliseconds),
];

/// All settings of the environment, and what is wrong with it. A problem's place is the variable.
pub(super) fn read(env: Env<'_>) -> (Vec<Setting>, Vec<Problem>) {
    let mut reader = Reader { env, settings: Vec::new(), problems: Vec::new() };
    for (infix, section) in SECTIONS {
        for (name, key, form) in OF_EXPORTER {
            let variable = format!("OTEL_EXPORTER_OTLP_{infix}{name}");
            reader.take(variable, section, key, form);
        }
        reader.complete_endpoint(infix);
    }
    for (variable, key, form) in GENERAL {
        reader.take(variable.to_owned(), &["Otlp"], key, form);
    }
    reader.unsupported();
    (reader.settings, reader.problems)
}

/// `OTEL_SDK_DISABLED=true`: nothing is pushed.
pub(super) fn is_disabled(env: Env<'_>) -> bool {
    env("OTEL_SDK_DISABLED").is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
}

struct Reader<'a> {
    env: Env<'a>,
    settings: Vec<Setting>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn get(&self, variable: &str) -> Option<String> {
        (self.env)(variable).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn take(&mut self, variable: String, section: &[&'static str], key: &'static str, form: Form) {
        let Some(text) = self.get(&variable) else { return };
        match convert(&text, form) {
            Ok(value) => {
                let path = section.iter().copied().chain([key]).collect();
                self.settings.push(Setting { path, value, variable });
            }
            Err(problem) => self.problems.push((variable, problem)),
        }
    }

    /// A gRPC endpoint may come without a scheme; then `INSECURE` decides.
    fn complete_endpoint(&mut self, infix: &str) {
        let wanted = format!("OTEL_EXPORTER_OTLP_{infix}ENDPOINT");
        let own = self.get(&format!("OTEL_EXPORTER_OTLP_{infix}INSECURE"));
        let insecure = own.or_else(|| self.get("OTEL_EXPORTER_OTLP_INSECURE"));
        let found = self.settings.iter_mut().find(|setting| setting.variable == wanted);
        let Some(Setting { value: Value::String(url), .. }) = found else { return };
        if !url.contains("://") {
            let is_insecure = insecure.is_some_and(|text| text.eq_ignore_ascii_case("true"));
            let scheme = if is_insecure { "http" } else { "https" };
            *url = format!("{scheme}://{url}");
        }
    }

    fn unsupported(&mut self) {
        let variable = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        if let Some(text) = self.get(variable)
            && !text.eq_ignore_ascii_case("cumulative")
        {
            let message = format!("`{text}`: this version sends cumulative metrics only; unset it");
            self.problems.push((variable.to_owned(), message));
        }
    }
}

fn convert(text: &str, form: Form) -> Result<Value, String> {
    match form {
        Form::Text => Ok(Value::String(text.to_owned())),
        Form::Milliseconds => match text.parse::<u32>() {
            Ok(number) => Ok(Value::Float(f64::from(number) / 1000.0)),
            Err(_) => Err(format!("`{text}` is not a whole number of milliseconds")),
        },
        Form::Pairs => pairs(text).map(Value::Table),
    }
}

/// W3C Baggage without properties, as the specification has it.
fn pairs(text: &str) -> Result<Table, String> {
    let mut table = Table::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let wrong = || format!("`{pair}` is not key=value");
        let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
        let key = percent_decoded(key.trim()).filter(|key| !key.is_empty()).ok_or_else(wrong)?;
        let value = percent_decoded(value.trim()).ok_or_else(wrong)?;
        table.insert(key, Value::String(value));
    }
    Ok(table)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> (Vec<Setting>, Vec<Problem>) {
        let get = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        read(&get)
    }

    fn value<'a>(settings: &'a [Setting], path: &[&str]) -> &'a Value {
        &settings.iter().find(|setting| setting.path == path).unwrap().value
    }

    #[test]
    fn variables_of_a_signal_have_their_own_section_and_empty_ones_are_unset() {
        let (settings, problems) = with(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
            ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", ""),
        ]);
        assert!(problems.is_empty());
        assert_eq!(settings.len(), 2);
        assert_eq!(value(&settings, &["Otlp", "Logs", "Timeout"]).as_float(), Some(2.5));
    }

    #[test]
    fn pairs_are_split_and_decoded() {
        let (settings, _) =
            with(&[("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a%3Db, x = 1 ,")]);
        let headers = value(&settings, &["Otlp", "Headers"]);
        assert_eq!(headers["authorization"].as_str(), Some("Bearer a=b"));
        assert_eq!(headers["x"].as_str(), Some("1"));
    }

    #[test]
    fn a_grpc_endpoint_without_scheme_is_secure_unless_said_otherwise() {
        let endpoint = |insecure| {
            let (settings, _) = with(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
                ("OTEL_EXPORTER_OTLP_INSECURE", insecure),
            ]);
            value(&settings, &["Otlp", "Endpoint"]).as_str().unwrap().to_owned()
        };
        assert_eq!(endpoint(""), "https://collector:4317");
        assert_eq!(endpoint("True"), "http://collector:4317");
    }

    #[test]
    fn what_is_wrong_names_the_variable() {
        let (_, problems) = with(&[
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_RESOURCE_ATTRIBUTES", "novalue"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=%zz"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ]);
        let places: Vec<&str> = problems.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(
            places,
            [
                "OTEL_EXPORTER_OTLP_HEADERS",
                "OTEL_EXPORTER_OTLP_TIMEOUT",
                "OTEL_RESOURCE_ATTRIBUTES",
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
            ]
        );
    }
}
