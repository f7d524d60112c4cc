//! Positional parameters of a request.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::RpcError;

/// Positional parameters; missing ones read as null.
pub(crate) struct Params(Vec<Value>);

impl Params {
    pub fn new(params: Value) -> Result<Self, RpcError> {
        match params {
            Value::Null => Ok(Self(Vec::new())),
            Value::Array(values) => Ok(Self(values)),
            _ => Err(RpcError::invalid_params("params must be an array")),
        }
    }

    /// Takes parameter `index`.
    pub fn take<T: DeserializeOwned>(&mut self, index: usize, name: &str) -> Result<T, RpcError> {
        self.optional(index, name)?.ok_or_else(|| {
            RpcError::invalid_params(format!(
                "missing value for required argument {index} ({name})"
            ))
        })
    }

    /// Takes parameter `index`; null is the same as missing.
    pub fn optional<T: DeserializeOwned>(
        &mut self,
        index: usize,
        name: &str,
    ) -> Result<Option<T>, RpcError> {
        let value = self.0.get_mut(index).map(Value::take).unwrap_or_default();
        serde_json::from_value(value).map_err(|error| {
            RpcError::invalid_params(format!("invalid argument {index} ({name}): {error}"))
        })
    }
}

/// Converts an answer to JSON.
pub(crate) fn json(answer: impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(answer)
        .map_err(|error| RpcError::new(-32603, format!("the answer does not encode: {error}")))
}
