//! `Answer`: a response, and the record of its request.

use http::Response;

use super::outcome::Outcome;
use super::record::RequestRecord;
use crate::field::cache_status::CacheStatus;
use crate::request::RequestHead;
use crate::response::body::ResponseBody;
use process::timestamp::Timestamp;

#[derive(Debug)]
pub struct Answer {
    pub response: Response<ResponseBody>,
    pub record: RequestRecord,
}

impl Answer {
    pub(super) fn new(
        request: &RequestHead,
        response: Response<ResponseBody>,
        outcome: Outcome,
        status: CacheStatus,
        now: Timestamp,
    ) -> Self {
        let key = Some(request.key.hash());
        let record = RequestRecord { key, ..RequestRecord::new(outcome, Some(status), now) };
        Self { response, record }
    }
}
