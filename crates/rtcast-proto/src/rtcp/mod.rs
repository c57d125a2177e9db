//! RTCP: reports, source description, goodbye (RFC 3550 §6) and feedback (RFC 4585, RFC 5104, REMB, transport-wide).

mod arrivals;
mod reader;
mod report;
mod transport_feedback;
mod writer;

pub use arrivals::ArrivalLog;
pub use reader::{RtcpError, RtcpPacket, packets};
pub use report::{ReportBlock, SenderInfo};
pub use transport_feedback::{ARRIVAL_TICK_US, TransportFeedback};
pub use writer::RtcpWriter;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;

const GENERIC_NACK: u8 = 1;
const TRANSPORT_WIDE: u8 = 15;
const PICTURE_LOSS: u8 = 1;
const FULL_INTRA: u8 = 4;
const APPLICATION_LAYER: u8 = 15;
