//! What bitstreams say of their colours, in the code points of ITU-T H.273.

/// The colours of a stream of pictures, each part a code point of ITU-T H.273 (ISO/IEC 23091-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColourDescription {
    /// `ColourPrimaries`, table 2: 1 for BT.709, 6 for SMPTE 170M, 9 for BT.2020; 2 if nothing is said.
    pub primaries: u8,
    /// `TransferCharacteristics`, table 3: 1 for BT.709, 16 for PQ, 18 for HLG; 2 if nothing is said.
    pub transfer: u8,
    /// `MatrixCoefficients`, table 4: 1 for BT.709, 5 and 6 for BT.601, 9 for BT.2020; 2 if nothing is said.
    pub matrix: u8,
    /// `VideoFullRangeFlag`: brightness goes from 0 to 255 (or the largest number of its bits) rather than from 16 to
    /// 235; `None` if nothing is said.
    pub full_range: Option<bool>,
}

impl ColourDescription {
    /// The code point of all three tables that says nothing.
    pub const UNSPECIFIED: u8 = 2;

    /// What is said here, and by `other` where nothing is said here.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        const fn either(first: u8, second: u8) -> u8 {
            if first == ColourDescription::UNSPECIFIED { second } else { first }
        }
        Self {
            primaries: either(self.primaries, other.primaries),
            transfer: either(self.transfer, other.transfer),
            matrix: either(self.matrix, other.matrix),
            full_range: if self.full_range.is_some() { self.full_range } else { other.full_range },
        }
    }

    /// Takes the code points of the three tables; 0 and 3, which are reserved (but for the matrix 0, which is RGB), say
    /// nothing.
    pub const fn from_code_points(primaries: u8, transfer: u8, matrix: u8, full_range: Option<bool>) -> Self {
        const fn known(point: u8) -> u8 {
            if matches!(point, 0 | 3) { ColourDescription::UNSPECIFIED } else { point }
        }
        let matrix = if matrix == 3 { Self::UNSPECIFIED } else { matrix };
        Self { primaries: known(primaries), transfer: known(transfer), matrix, full_range }
    }
}

impl Default for ColourDescription {
    /// Nothing is said.
    fn default() -> Self {
        let nothing = Self::UNSPECIFIED;
        Self { primaries: nothing, transfer: nothing, matrix: nothing, full_range: None }
    }
}
