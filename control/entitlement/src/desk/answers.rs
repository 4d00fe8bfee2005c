//! How the desk answers a request, beats, and learns.

use super::{Body, Class, Desk, Message, Moment, Output, Refusal, Standing, Verdict};
use crate::contact::RETRY_AFTER;
use crate::lease::{self, ANY_NAMESPACE, VerifiedLease};
use crate::messages::{
    Entitlement, GetbackLater, Heartbeat, LicenseChanged, PodLease, TmmNonce, Verified,
};

impl Desk {
    /// Takes a message of a Controller; says why if it does not count.
    pub(super) fn message(&mut self, message: Message, now: Moment) -> Result<(), Refusal> {
        if !self.seen.is_new(message.id) {
            return Err(Refusal::Repeated);
        }
        let namespace = message.namespace.as_str();
        match &message.body {
            Body::GetEntitlementRequest(body) => {
                let names = body.tmms.iter().flat_map(|tmm| [&tmm.pod, &tmm.name]);
                if !is_name(&body.instance) || !names.map(String::as_str).all(is_name) {
                    return Err(Refusal::BadName);
                }
                self.instances.register(namespace, now.boot)?;
                self.instances.note_instance(namespace, &body.instance);
                self.instances.note_tmms(namespace, &body.tmms, true);
                self.report_trust(namespace, &body.trust);
                if let Some(last) = &body.last
                    && self.learn(last, now)
                {
                    self.held.insert(namespace.to_owned(), message);
                    return Ok(());
                }
            }
            Body::LeaseRequest(body) => {
                let names = body.tmms.iter().flat_map(|tmm| [&tmm.pod, &tmm.name]);
                if !names.map(String::as_str).all(is_name) {
                    return Err(Refusal::BadName);
                }
                self.instances.register(namespace, now.boot)?;
                self.instances.note_tmms(namespace, &body.tmms, false);
                self.report_trust(namespace, &body.trust);
            }
            Body::Goodbye => {
                if !self.instances.goodbye(namespace, now.boot) {
                    return Err(Refusal::UnknownInstance);
                }
                return Ok(());
            }
            Body::GetbackLater(_)
            | Body::Verified(_)
            | Body::EntitlementPaid(_)
            | Body::EntitlementTrial(_)
            | Body::Heartbeat(_)
            | Body::LicenseChanged(_) => return Err(Refusal::NoRequest),
        }
        self.answer(&message, now);
        Ok(())
    }

    /// Answers a request of a registered Controller.
    pub(super) fn answer(&mut self, request: &Message, now: Moment) {
        if !self.vouches(now) {
            return;
        }
        let (tmms, entitles): (&[TmmNonce], bool) = match &request.body {
            Body::GetEntitlementRequest(body) => (&body.tmms, true),
            Body::LeaseRequest(body) => (&body.tmms, false),
            Body::GetbackLater(_)
            | Body::Verified(_)
            | Body::EntitlementPaid(_)
            | Body::EntitlementTrial(_)
            | Body::Heartbeat(_)
            | Body::LicenseChanged(_)
            | Body::Goodbye => return,
        };
        let namespace = request.namespace.as_str();
        let occasion = self.occasion(now);
        let license = self.standing.license.clone();
        let (Verdict::Allow | Verdict::Warn, Some(license)) = (occasion.verdict, license) else {
            let statement = self.authority.answer(namespace, request.id, &occasion);
            let later = GetbackLater {
                state: self.standing.state,
                state_text: self.standing.state_text.clone(),
                retry_after: RETRY_AFTER,
                statement,
            };
            self.publish(Some(request), namespace, Body::GetbackLater(later));
            return;
        };
        let mut leases = Vec::new();
        for tmm in tmms.iter().take(LEASES) {
            let lease = self.authority.open(namespace, &tmm.pod, &tmm.nonce.0, &occasion);
            leases.push(PodLease { pod: tmm.pod.clone(), lease });
            self.instances.leased(namespace, &tmm.pod, &occasion, now.boot);
        }
        let statement = self.authority.answer(namespace, request.id, &occasion);
        let verified = Verified { license, leases, statement };
        self.publish(Some(request), namespace, Body::Verified(verified));
        if !entitles {
            return;
        }
        let class = occasion.class;
        match class {
            Class::Production => {
                let latch = Some(self.authority.latch(namespace, &occasion));
                self.instances.latched(namespace);
                let statement = self.authority.answer(namespace, request.id, &occasion);
                let paid = Entitlement { class, latch, statement };
                self.publish(Some(request), namespace, Body::EntitlementPaid(paid));
            }
            Class::Trial => {
                let statement = self.authority.answer(namespace, request.id, &occasion);
                let trial = Entitlement { class, latch: None, statement };
                self.publish(Some(request), namespace, Body::EntitlementTrial(trial));
            }
            // Its verdict is block: answered above.
            Class::Unactivated => {}
        }
    }

    /// Publishes a heartbeat.
    pub(super) fn heartbeat(&mut self, now: Moment) {
        let occasion = self.occasion(now);
        let statement = self.authority.renew(&occasion);
        let (_, seq) = self.authority.last();
        self.instances.renewed(&occasion, now.boot);
        let license = self.standing.license.clone();
        let heartbeat = Heartbeat { seq, statement, license };
        self.publish(None, ANY_NAMESPACE, Body::Heartbeat(heartbeat));
    }

    /// Takes a new standing; tells every Controller if it changes what a statement says.
    pub(super) fn change(&mut self, standing: Standing, now: Moment) {
        let said = |standing: &Standing| {
            (
                (standing.class, standing.active, standing.verdict, standing.reason),
                (standing.license.clone(), standing.daid, standing.ends),
            )
        };
        let changed = said(&self.standing) != said(&standing);
        self.authority.assign(standing.daid);
        self.standing = standing;
        if changed && self.vouches(now) {
            let occasion = self.occasion(now);
            let statement = self.authority.renew(&occasion);
            self.instances.renewed(&occasion, now.boot);
            let state = self.standing.state;
            let changed = LicenseChanged { state, statement };
            self.publish(None, ANY_NAMESPACE, Body::LicenseChanged(changed));
        }
    }

    /// Looks at a Controller's `last`; whether it taught something, so that the answer must wait
    /// (licensing.md §7.5).
    fn learn(&mut self, last: &str, now: Moment) -> bool {
        let claims = match lease::verify(last, &self.published) {
            Ok(VerifiedLease { claims, .. }) => claims,
            Err(error) => {
                self.outputs.push_back(Output::Refused(Refusal::Last(error)));
                return false;
            }
        };
        let (epoch, seq, iat) = (claims.epoch, claims.seq, claims.iat);
        if (epoch, seq) <= self.authority.last() && iat <= now.iat {
            return false;
        }
        self.outputs.push_back(Output::Learnt { epoch, seq, iat });
        true
    }

    /// Notes which keys a Controller trusts.
    fn report_trust(&mut self, namespace: &str, trust: &[String]) {
        let kids = trust.iter().filter(|kid| is_thumbprint(kid)).take(KIDS);
        for kid in self.instances.note_trust(namespace, kids, &self.published) {
            let namespace = namespace.to_owned();
            self.outputs.push_back(Output::TrustAnchorReplaced { namespace, kid });
        }
        self.rotate();
    }

    /// Signs with `next.jwk` once every Controller has reported its `kid` (LIC-017).
    pub(super) fn rotate(&mut self) {
        let ready = self.next.as_ref().is_some_and(|next| self.instances.all_trust(next.kid()));
        if let Some(next) = self.next.take_if(|_| ready) {
            let kid = next.kid().to_owned();
            self.authority.sign_with(next);
            self.outputs.push_back(Output::Rotated { kid });
        }
    }
}

/// A name or UID of Kubernetes.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    (1..=NAME_LIMIT).contains(&text.len()) && text.bytes().all(fits)
}

/// The form of a SHA-256 in base64url.
fn is_thumbprint(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() == 43 && text.bytes().all(fits)
}

/// Leases of one answer, so that it stays below the limit of a message.
const LEASES: usize = 64;
/// Keys of a trust anchor.
const KIDS: usize = 4;
/// Bytes of a name.
const NAME_LIMIT: usize = 253;
