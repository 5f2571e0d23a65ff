//! Limits on the number of connections, in total and per user, so that nobody can lock others out,
//! and nobody can lock out root.

use std::collections::HashMap;

use super::access::Peer;
use crate::protocol::{ErrorCode, Refusal};

/// The most connections at once; more are turned away with `EBUSY`.
pub const MAX_CONNECTIONS: u32 = 256;
/// The most of one user who is neither root nor the daemon's own.
pub const MAX_OF_USER: u32 = 64;
/// The most of all such users together. The others are kept for root and the daemon's user.
pub const MAX_OF_USERS: u32 = 192;

/// The connections that there are.
#[derive(Debug, Default)]
pub(super) struct Admission {
    all: u32,
    users: HashMap<u32, u32>,
}

impl Admission {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.all == 0
    }

    /// Counts a connection of `peer`, until [`Admission::leave`].
    ///
    /// # Errors
    /// `EBUSY` if there are too many.
    pub(super) fn enter(&mut self, peer: Peer) -> Result<(), Refusal> {
        let busy = |message| Err(Refusal::new(ErrorCode::Ebusy, message));
        if self.all >= MAX_CONNECTIONS {
            return busy(format!(
                "the daemon serves {MAX_CONNECTIONS} connections at most: close some"
            ));
        }
        if !peer.privileged {
            let uid = peer.uid;
            if self.users.get(&uid).copied().unwrap_or(0) >= MAX_OF_USER {
                return busy(format!(
                    "the daemon serves {MAX_OF_USER} connections of a user at most, which uid \
                     {uid} has: close some"
                ));
            }
            if self.users.values().sum::<u32>() >= MAX_OF_USERS {
                return busy(format!(
                    "the daemon serves {MAX_OF_USERS} connections at most of users other than \
                     root: close some"
                ));
            }
            *self.users.entry(uid).or_default() += 1;
        }
        self.all += 1;
        Ok(())
    }

    /// A connection of `peer` that was counted has ended.
    pub(super) fn leave(&mut self, peer: Peer) {
        self.all -= 1;
        if !peer.privileged
            && let Some(count) = self.users.get_mut(&peer.uid)
        {
            *count -= 1;
            if *count == 0 {
                self.users.remove(&peer.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32) -> Peer {
        Peer {
            uid,
            pid: 1,
            allowed: true,
            privileged: uid == 0,
        }
    }

    #[test]
    fn users_have_their_share_and_root_the_rest() {
        let mut admission = Admission::default();
        for uid in 1..=3 {
            for _ in 0..MAX_OF_USER {
                admission.enter(peer(uid)).unwrap();
            }
            let refusal = admission.enter(peer(uid)).unwrap_err();
            assert!(
                refusal.message.contains("64 connections of a user"),
                "{refusal}"
            );
        }
        let refusal = admission.enter(peer(4)).unwrap_err();
        assert!(refusal.message.contains("192"), "{refusal}");
        for _ in MAX_OF_USERS..MAX_CONNECTIONS {
            admission.enter(peer(0)).unwrap();
        }
        let refusal = admission.enter(peer(0)).unwrap_err();
        assert!(refusal.message.contains("256"), "{refusal}");

        admission.leave(peer(1));
        admission.enter(peer(4)).unwrap();
        admission.leave(peer(4));
        for uid in [1, 2, 3] {
            for _ in u32::from(uid == 1)..MAX_OF_USER {
                admission.leave(peer(uid));
            }
        }
        assert!(admission.users.is_empty() && !admission.is_empty());
    }
}
