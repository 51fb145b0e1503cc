// SPDX-License-Identifier: Apache-2.0
//! Which containers are looked at: the filters of the configuration, compiled once.

use regex::Regex;
use schemars::JsonSchema;
use semconv::{AttributeDef, attribute};
use serde::{Deserialize, Serialize};

use crate::signal::Resource;

/// Which containers are looked at. All rules of a list must match; without rules all containers
/// are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct ContainerFilterConfig {
    /// Only containers that match.
    pub included: Vec<ContainerRule>,
    /// No containers that match.
    pub excluded: Vec<ContainerRule>,
}

/// One rule of a container filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ContainerRule {
    /// What is looked at.
    pub field: ContainerField,
    /// A regular expression, not anchored.
    #[schemars(extend("format" = "regex"))]
    pub pattern: String,
}

/// What a [`ContainerRule`] looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ContainerField {
    /// Kubernetes namespace.
    #[serde(rename = "container_host_namespace")]
    Namespace,
    /// Host name of the pod.
    #[serde(rename = "container_hostname")]
    Hostname,
    /// QoS class of the pod, in lower case: guaranteed, burstable, besteffort.
    #[serde(rename = "container_qos")]
    Qos,
}

impl ContainerField {
    fn attribute(self) -> &'static AttributeDef {
        match self {
            Self::Namespace => &attribute::K8S_NAMESPACE_NAME,
            Self::Hostname => &attribute::K8S_POD_HOSTNAME,
            Self::Qos => &attribute::K8S_POD_QOS_CLASS,
        }
    }
}

/// A compiled [`ContainerFilterConfig`].
#[derive(Debug, Default)]
pub struct ContainerFilter {
    included: Vec<Rule>,
    excluded: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    field: ContainerField,
    pattern: Regex,
}

impl ContainerFilter {
    /// Compiles the rules. The configuration's checks have refused patterns that are none.
    pub fn new(config: &ContainerFilterConfig) -> Self {
        Self { included: compile(&config.included), excluded: compile(&config.excluded) }
    }

    /// The container with this Resource is looked at.
    pub fn passes(&self, resource: &Resource) -> bool {
        let all_match = |rules: &[Rule]| rules.iter().all(|rule| rule.matches(resource));
        all_match(&self.included) && (self.excluded.is_empty() || !all_match(&self.excluded))
    }
}

impl Rule {
    fn matches(&self, resource: &Resource) -> bool {
        let text = resource.text(self.field.attribute());
        match self.field {
            ContainerField::Qos => self.pattern.is_match(&text.to_lowercase()),
            ContainerField::Namespace | ContainerField::Hostname => self.pattern.is_match(text),
        }
    }
}

fn compile(rules: &[ContainerRule]) -> Vec<Rule> {
    let compile = |rule: &ContainerRule| {
        let pattern = Regex::new(&rule.pattern).ok()?;
        Some(Rule { field: rule.field, pattern })
    };
    rules.iter().filter_map(compile).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::{EntityKind, Value};

    fn passes(filter: &str, namespace: &str, qos: &'static str) -> bool {
        let config: ContainerFilterConfig = toml::from_str(filter).unwrap();
        let attributes = vec![
            (&attribute::CONTAINER_ID, Value::Static("c0ffee")),
            (&attribute::K8S_NAMESPACE_NAME, namespace.into()),
            (&attribute::K8S_POD_QOS_CLASS, Value::Static(qos)),
        ];
        let resource = Resource::new(EntityKind::Container, attributes);
        ContainerFilter::new(&config).passes(&resource)
    }

    const NAMESPACE: &str = "Field = 'container_host_namespace'\nPattern = '^application-'\n";
    const QOS: &str = "Field = 'container_qos'\nPattern = 'besteffort'\n";

    #[test]
    fn without_rules_all_containers_pass() {
        assert!(passes("", "", ""));
    }

    #[test]
    fn excluded_leaves_out_and_included_lets_in() {
        let excluded = format!("[[Excluded]]\n{QOS}");
        assert!(!passes(&excluded, "a", "BestEffort"));
        assert!(passes(&excluded, "a", "Burstable"));
        let included = format!("[[Included]]\n{NAMESPACE}");
        assert!(passes(&included, "application-web", "Burstable"));
        assert!(!passes(&included, "kube-system", "Burstable"));
        let both = format!("{included}{excluded}");
        assert!(passes(&both, "application-web", "Burstable"));
        assert!(!passes(&both, "application-web", "BestEffort"));
        assert!(!passes(&both, "kube-system", "Burstable"));
    }

    #[test]
    fn all_rules_of_a_list_must_match() {
        let excluded = format!("[[Excluded]]\n{QOS}[[Excluded]]\n{NAMESPACE}");
        assert!(!passes(&excluded, "application-web", "BestEffort"));
        assert!(passes(&excluded, "application-web", "Burstable"));
        assert!(passes(&excluded, "kube-system", "BestEffort"));
        let included = format!("[[Included]]\n{QOS}[[Included]]\n{NAMESPACE}");
        assert!(passes(&included, "application-web", "BestEffort"));
        assert!(!passes(&included, "application-web", "Burstable"));
    }
}
