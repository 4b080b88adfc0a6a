//! What became of one declared thing.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Created,
    Updated,
    Unchanged,
}

impl Outcome {
    /// Of a thing that was written in two parts.
    pub(crate) fn and(self, part: Self) -> Self {
        match (self, part) {
            (Self::Created, _) => Self::Created,
            (Self::Unchanged, Self::Unchanged) => Self::Unchanged,
            (Self::Updated, _) | (Self::Unchanged, Self::Created | Self::Updated) => Self::Updated,
        }
    }

    /// From an upsert that returns whether it inserted, and no row when all columns were as they should be.
    pub(crate) fn of_upsert(row: Option<bool>) -> Self {
        match row {
            Some(true) => Self::Created,
            Some(false) => Self::Updated,
            None => Self::Unchanged,
        }
    }
}
