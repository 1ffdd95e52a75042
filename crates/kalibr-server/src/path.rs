//! Ids in addresses.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use kalibr_engine::core::ids::InvalidId;

use crate::error::ApiError;

/// The one id in an address, percent-decoded and checked.
pub(crate) struct Id<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Id<T>
where
    T: FromStr<Err = InvalidId>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Text(text) = Text::from_request_parts(parts, state).await?;
        Ok(Self(text.parse()?))
    }
}

/// An id in an address that may be anything, percent-decoded.
pub(crate) struct Text(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Text {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| {
            let message = "the id in the address is not UTF-8 once percent-decoded; encode it as UTF-8";
            ApiError::new(StatusCode::BAD_REQUEST, "invalid_id", message)
        })?;
        Ok(Self(text))
    }
}
