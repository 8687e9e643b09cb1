//! Rules written in CEL, as `x-kubernetes-validations` holds them.

use cel::{Context, Program};
use serde_json::Value;
use std::sync::Arc;

/// One CEL rule of a schema.
#[derive(Clone, Debug)]
pub struct CelRule {
    /// The rule as written.
    pub rule: String,
    /// What to say when it doesn't hold.
    pub message: String,
    /// Whether it compares with the object before (`oldSelf`).
    pub transition: bool,
    program: Option<Arc<Program>>,
}

/// How a rule came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Holds,
    /// It doesn't.
    Broken,
    /// It can't be evaluated here, and why: the server reports it, and lets the object pass.
    Unknown(String),
}

impl CelRule {
    /// Reads one entry of `x-kubernetes-validations`.
    pub fn read(json: &Value) -> Self {
        let rule = json["rule"].as_str().unwrap_or_default().to_owned();
        let message = json["message"].as_str().map_or_else(|| format!("failed rule: {rule}"), str::to_owned);
        let program = Program::compile(&rule).ok().map(Arc::new);
        Self { transition: rule.contains("oldSelf"), message, program, rule }
    }

    /// Evaluates the rule on a value, and the value before if there was one.
    pub fn holds(&self, value: &Value, before: Option<&Value>) -> Outcome {
        if self.transition && before.is_none() {
            return Outcome::Holds;
        }
        let Some(program) = &self.program else {
            return Outcome::Unknown(format!("rule can't be compiled: {}", self.rule));
        };
        let mut bound = vec![("self", value)];
        if let Some(before) = before {
            bound.push(("oldSelf", before));
        }
        match evaluate(program, &bound) {
            Ok(true) => Outcome::Holds,
            Ok(false) => Outcome::Broken,
            Err(why) => Outcome::Unknown(why),
        }
    }
}

/// Evaluates an expression that answers true or false.
///
/// # Errors
/// Says why there is no such answer.
pub fn expression(text: &str, bound: &[(&str, &Value)]) -> Result<bool, String> {
    let program = Program::compile(text).map_err(|error| error.to_string())?;
    evaluate(&program, bound)
}

/// Evaluates a program that answers true or false, with variables bound to JSON values.
///
/// # Errors
/// Says why there is no such answer.
pub fn evaluate(program: &Program, bound: &[(&str, &Value)]) -> Result<bool, String> {
    let mut context = Context::default();
    for (name, value) in bound {
        context.add_variable(*name, *value).map_err(|e| e.to_string())?;
    }
    match program.execute(&context) {
        Ok(cel::Value::Bool(answer)) => Ok(answer),
        Ok(other) => Err(format!("expected a bool, got {:?}", other.type_of())),
        Err(e) => Err(e.to_string()),
    }
}
