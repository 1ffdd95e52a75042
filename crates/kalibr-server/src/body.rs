//! Bodies: read with bounds, and only where they say that they are JSON.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Body as _;

use crate::app::App;
use crate::error::ApiError;
use crate::fields::Fields;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_mins(1);

/// Of a body that is too large this much more is read and thrown away. Most clients send it all before they look for an
/// answer; with the connection cut in the middle they would see a broken pipe and never the reason.
const MOST_DRAINED: usize = 64 << 20;

/// The most that is set aside for a body on the word of its length alone.
const MOST_AHEAD: usize = 1 << 20;

/// A JSON body as it came.
pub(crate) struct JsonBytes(pub(crate) Bytes);

impl FromRequest<App> for JsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let json = is_json(request.headers());
        // A client that asks before it sends is told before it does.
        let asks = request.headers().contains_key(header::EXPECT);
        if asks && request.body().size_hint().lower() > app.max_body_bytes as u64 {
            return Err(too_large(app.max_body_bytes));
        }
        let read = tokio::time::timeout(PATIENCE, read(request.into_body(), app.max_body_bytes));
        let body = read.await.unwrap_or_else(|_| {
            let message = "the body did not arrive within a minute; send it faster, or in smaller parts";
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message))
        })?;
        if !json {
            let message = "send the body as JSON, with the header content-type: application/json";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
        }
        Ok(Self(body))
    }
}

/// A JSON object, to be taken apart.
impl FromRequest<App> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let JsonBytes(body) = JsonBytes::from_request(request, app).await?;
        Self::parse(&body)
    }
}

/// A browser asks the server before it sends this type across sites, which it does not for plain text: so the check
/// keeps forms of other sites out, too.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return false;
    };
    let essence = only.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

async fn read(mut body: Body, most: usize) -> Result<Bytes, ApiError> {
    // Growing copies a long body again and again.
    let said = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut whole = BytesMut::with_capacity(said.min(most).min(MOST_AHEAD));
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            let message = "the body broke off; send the request again";
            ApiError::new(StatusCode::BAD_REQUEST, "incomplete_body", message)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        seen += data.len();
        if seen <= most {
            whole.extend_from_slice(&data);
        } else if seen > most.saturating_add(MOST_DRAINED) {
            break;
        }
    }
    if seen > most {
        return Err(too_large(most));
    }
    Ok(whole.freeze())
}

fn too_large(most: usize) -> ApiError {
    let message =
        format!("the body has more than {most} bytes; send less, or raise max_body_bytes in [server]");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}
