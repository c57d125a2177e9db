//! W3C's `getStats`.

use rtcast_proto::stats::StatsReport;

use super::PeerConnection;
use super::receiver::RtpReceiver;
use super::sender::RtpSender;
use crate::error::Error;

impl PeerConnection {
    /// Everything that the connection counts, in W3C's dictionaries.
    ///
    /// ```no_run
    /// # async fn example(pc: rtcast_peer::PeerConnection) -> Result<(), rtcast_peer::Error> {
    /// println!("{}", pc.get_stats().await?.to_json());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`] after the end.
    pub async fn get_stats(&self) -> Result<StatsReport, Error> {
        self.call(|entry, now| entry.connection.stats_report(now)).await
    }
}

impl RtpSender {
    /// What concerns this sender, and what that refers to.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end of the connection.
    pub async fn get_stats(&self) -> Result<StatsReport, Error> {
        let id = self.handle().id();
        self.handle().call(move |entry, now| entry.connection.stats_report_of(now, id, true)).await
    }
}

impl RtpReceiver {
    /// What concerns this receiver, and what that refers to.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end of the connection.
    pub async fn get_stats(&self) -> Result<StatsReport, Error> {
        let id = self.handle().id();
        self.handle().call(move |entry, now| entry.connection.stats_report_of(now, id, false)).await
    }
}
