//! Where lists lie and reports go: the port of `email-campaign` to S3.
//!
//! [`EmailCampaign`](crate::EmailCampaign) calls it. It does not load what is too large: the size is asked for before the
//! content is.

use crate::{CampaignId, ListKey, list};
use aws_sdk_s3::{Client, operation::get_object::GetObjectError, primitives::ByteStream};
use lambda_kit::{
    Failure,
    sdk::failure,
    warm_up::{Opening, WarmUpRequest},
};

/// A list's content, and the ETag that changes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The content.
    pub bytes: Vec<u8>,
    /// The ETag, in its quotes.
    pub etag: String,
}

/// The campaigns bucket.
pub trait Lists {
    /// The list under `key`: one GetObject.
    ///
    /// # Errors
    /// Permanent where there is none, or it is too large.
    async fn read(&self, key: &ListKey) -> Result<Object, Failure>;
    /// Writes a campaign's report, over an earlier one: one PutObject.
    async fn write_report(&self, campaign: &CampaignId, report: Vec<u8>) -> Result<(), Failure>;
}

/// A bucket with lists under `lists/` and reports under `reports/`.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    /// A handle on the bucket `name`.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// To be opened in init: the connection to the bucket, which has a host of its own.
    pub fn opening(&self) -> Opening<'_> {
        Opening::by_call("S3", self.client.get_object().bucket(&self.name).key("none").customize().interceptor(WarmUpRequest).send())
    }
}

impl Lists for Bucket {
    async fn read(&self, key: &ListKey) -> Result<Object, Failure> {
        let object = match self.client.get_object().bucket(&self.name).key(key.as_str()).send().await {
            Ok(object) => object,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
                return Err(Failure::permanent("NoSuchList", "there is no list under this key: put it there, then start the campaign"));
            }
            Err(error) => return Err(failure("GetObject", error)),
        };
        // S3 always says the size; one that it did not say is found out below, at the price of the memory.
        if object.content_length.and_then(|length| usize::try_from(length).ok()).is_some_and(|length| length > list::LIST_BYTES_MAX) {
            return Err(list::too_large());
        }
        let etag = object.e_tag.unwrap_or_default();
        let broken = |error| Failure::transient("NoResponse", "GetObject broke off").caused_by(error);
        Ok(Object { bytes: object.body.collect().await.map_err(broken)?.to_vec(), etag })
    }

    async fn write_report(&self, campaign: &CampaignId, report: Vec<u8>) -> Result<(), Failure> {
        let call = self.client.put_object().bucket(&self.name).key(format!("reports/{campaign}.csv"));
        let call = call.content_type("text/csv; charset=utf-8").body(ByteStream::from(report));
        call.send().await.map(|_| ()).map_err(|error| failure("PutObject", error))
    }
}
