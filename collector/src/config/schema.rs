// SPDX-License-Identifier: Apache-2.0
//! What the structs say of themselves: names, types, ranges, defaults and meanings.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use super::Config;

static SCHEMA: LazyLock<Json> = LazyLock::new(|| {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.into_generator().into_root_schema_for::<Config>().to_value()
});

/// The schema of one key, or of the whole configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node(&'static Json);

/// What a key may hold.
#[derive(Debug)]
pub(super) enum Kind {
    /// A section, with its keys in the order of the struct.
    Section(Vec<(&'static str, Node)>),
    /// Keys of the user's choice.
    Map(Node),
    /// A list of one kind.
    List(Node),
    /// A list of fixed length.
    Tuple(Vec<Node>),
    /// One of some words.
    Word(Vec<&'static str>),
    /// Text, perhaps of a format.
    Text(Option<&'static str>),
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
}

impl Node {
    /// The whole configuration.
    pub fn root() -> Self {
        Node(&SCHEMA)
    }

    pub fn kind(self) -> Kind {
        let schema = self.without_null();
        if let Some(properties) = schema["properties"].as_object() {
            let nodes = properties.iter().map(|(name, schema)| (name.as_str(), Node(schema)));
            return Kind::Section(nodes.collect());
        }
        if let Some(words) = words(schema) {
            return Kind::Word(words);
        }
        match type_name(schema) {
            "object" => Kind::Map(Node(&schema["additionalProperties"])),
            "array" => match schema["prefixItems"].as_array() {
                Some(items) => Kind::Tuple(items.iter().map(Node).collect()),
                None => Kind::List(Node(&schema["items"])),
            },
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "boolean" => Kind::Boolean,
            _ => Kind::Text(schema["format"].as_str()),
        }
    }

    /// An optional value is described with `null` beside it.
    fn without_null(self) -> &'static Json {
        let choices = self.0["anyOf"].as_array();
        let chosen = choices.and_then(|all| all.iter().find(|one| one["type"] != "null"));
        chosen.unwrap_or(self.0)
    }

    /// Smallest and largest number.
    pub fn range(self) -> (Option<f64>, Option<f64>) {
        let schema = self.without_null();
        (schema["minimum"].as_f64(), schema["maximum"].as_f64())
    }

    /// The doc comment.
    pub fn description(self) -> &'static str {
        self.0["description"].as_str().unwrap_or_default()
    }

    /// What it holds must not be shown.
    pub fn is_secret(self) -> bool {
        self.0["secret"] == true
    }

    /// Format of the elements of a list of texts.
    pub fn element_format(self) -> Option<&'static str> {
        self.0["elements"].as_str()
    }

    /// Its probe or exporter is not in this version.
    pub fn is_later(self) -> bool {
        self.0["later"] == true
    }
}

fn type_name(schema: &'static Json) -> &'static str {
    match &schema["type"] {
        Json::Array(all) => {
            let named = all.iter().filter_map(Json::as_str);
            named.into_iter().find(|name| *name != "null").unwrap_or_default()
        }
        one => one.as_str().unwrap_or_default(),
    }
}

/// The words of an enumeration: documented ones come one by one, others in lists.
fn words(schema: &'static Json) -> Option<Vec<&'static str>> {
    if let Some(all) = schema["enum"].as_array() {
        return Some(all.iter().filter_map(Json::as_str).collect());
    }
    let choices = schema["oneOf"].as_array()?;
    let mut words = Vec::new();
    for choice in choices {
        match choice["enum"].as_array() {
            Some(all) => words.extend(all.iter().filter_map(Json::as_str)),
            None => words.push(choice["const"].as_str()?),
        }
    }
    Some(words)
}
