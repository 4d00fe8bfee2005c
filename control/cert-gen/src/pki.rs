//! Single certificates: a CA, the leaves it signs, and what is in a PEM file.
//!
//! Owns keys, names, usages and times of certificates. Knows no file and no clock; randomness comes
//! from the crypto library. Source: operations.md §3.3.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize, SanType,
    date_time_ymd,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

/// Kind of a private key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyKind {
    /// RSA of 2048 bits: `rsa:2048`.
    Rsa2048,
    /// RSA of 4096 bits: `rsa:4096`.
    Rsa4096,
    /// ECDSA on P-256: `ec:p256`.
    EcP256,
}

impl FromStr for KeyKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "rsa:2048" => Ok(Self::Rsa2048),
            "rsa:4096" => Ok(Self::Rsa4096),
            "ec:p256" => Ok(Self::EcP256),
            _ => Err(String::from("expected rsa:2048, rsa:4096 or ec:p256")),
        }
    }
}

impl KeyKind {
    fn generate(self) -> Result<KeyPair, rcgen::Error> {
        match self {
            Self::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            Self::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
            Self::EcP256 => KeyPair::generate(),
        }
    }
}

/// When a certificate holds, in seconds since 1970.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Period {
    /// First second.
    pub begin: u64,
    /// Last second.
    pub end: u64,
}

impl Period {
    /// From 24 h before `now`, as clocks of other machines may be late (K13), until `days` after it.
    #[must_use]
    pub const fn days(now: u64, days: u32) -> Self {
        Self { begin: now.saturating_sub(DAY), end: now.saturating_add(days as u64 * DAY) }
    }
}

/// What a leaf certificate is for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Leaf {
    /// CN of its subject.
    pub common_name: String,
    /// O of its subject, if any.
    pub organization: Option<String>,
    /// DNS names and IP addresses of a server.
    pub names: Vec<String>,
    /// An e-mail address, if any.
    pub email: Option<String>,
    /// Whether it is a server's.
    pub server: bool,
    /// Whether it is a client's.
    pub client: bool,
}

/// A certificate with its private key, as PEM. Its debug form shows no key.
#[derive(Clone, Eq, PartialEq)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key (PKCS #8).
    pub key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Why no certificate can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The library refuses.
    #[error("cannot make a certificate for {name}: {source}")]
    Making {
        /// CN of its subject.
        name: String,
        /// The library's error.
        source: rcgen::Error,
    },
    /// No CA: not PEM, or a key that does not fit.
    #[error("no CA: its certificate is not readable, or its key does not fit")]
    NoAuthority,
}

impl PkiError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Making { .. } => "certificate_making",
            Self::NoAuthority => "certificate_no_authority",
        }
    }
}

/// A CA with its private key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pair: Pair,
    end: u64,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("end", &self.end).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new CA whose subject is CN `name`. It signs leaves only (path length 0).
    ///
    /// # Errors
    ///
    /// [`PkiError::Making`].
    pub fn make(name: &str, kind: KeyKind, period: Period) -> Result<Self, PkiError> {
        let failed = |source| PkiError::Making { name: name.to_owned(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(name, None);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Two CAs of one name, old and new, are told apart by it.
        params.use_authority_key_identifier_extension = true;
        set_period(&mut params, period);
        let key = kind.generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        let pair = Pair { certificate, key: key.serialize_pem() };
        Ok(Self { issuer: Issuer::new(params, key), pair, end: period.end })
    }

    /// Takes a CA from PEM text; of several certificates the first is its own.
    ///
    /// # Errors
    ///
    /// [`PkiError::NoAuthority`].
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PkiError> {
        let facts = Facts::first(certificate).ok_or(PkiError::NoAuthority)?;
        if !facts.fits(key) {
            return Err(PkiError::NoAuthority);
        }
        let pair = Pair { certificate: certificate.to_owned(), key: key.to_owned() };
        let key = KeyPair::from_pem(key).map_err(|_| PkiError::NoAuthority)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key);
        Ok(Self { issuer: issuer.map_err(|_| PkiError::NoAuthority)?, pair, end: facts.end })
    }

    /// Makes a certificate for `leaf` with a new key. It ends with the CA at the latest.
    ///
    /// # Errors
    ///
    /// [`PkiError::Making`], for example if a name is none.
    pub fn issue(&self, leaf: &Leaf, kind: KeyKind, period: Period) -> Result<Pair, PkiError> {
        let failed = |source| PkiError::Making { name: leaf.common_name.clone(), source };
        let mut params = leaf.params().map_err(failed)?;
        set_period(&mut params, Period { begin: period.begin, end: period.end.min(self.end) });
        let key = kind.generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Its certificate and key.
    #[must_use]
    pub const fn pair(&self) -> &Pair {
        &self.pair
    }

    /// The second since 1970 at which it ends.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }
}

impl Leaf {
    /// The server of port 8750 (operations.md §3.3).
    #[must_use]
    pub fn grpc_server() -> Self {
        Self {
            common_name: String::from("f5net.com"),
            names: ["grpc-svc", "otel-collector", "f5-csrc-grpc-svc"].map(str::to_owned).into(),
            server: true,
            ..Self::default()
        }
    }

    /// A client of port 8750 (operations.md §3.3).
    #[must_use]
    pub fn grpc_client() -> Self {
        Self {
            common_name: String::from("f5net.com"),
            email: Some(String::from("clientcert@f5net.com")),
            client: true,
            ..Self::default()
        }
    }

    fn params(&self) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&self.common_name, self.organization.as_deref());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        if self.server {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if self.client {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        for name in &self.names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(Ia5String::try_from(name.as_str())?),
            });
        }
        if let Some(email) = &self.email {
            params
                .subject_alt_names
                .push(SanType::Rfc822Name(Ia5String::try_from(email.as_str())?));
        }
        Ok(params)
    }
}

/// What is in a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    der: Vec<u8>,
    public_key: Vec<u8>,
    /// First second since 1970 at which it holds.
    pub begin: u64,
    /// Last second since 1970 at which it holds.
    pub end: u64,
    /// Its DNS names and IP addresses.
    pub names: Vec<String>,
}

impl Facts {
    /// The first certificate of a PEM text; none if there is none.
    #[must_use]
    pub fn first(pem: &str) -> Option<Self> {
        Self::all(pem)?.into_iter().next()
    }

    /// Every certificate of a PEM text; none if one is broken.
    #[must_use]
    pub fn all(pem: &str) -> Option<Vec<Self>> {
        Pem::iter_from_buffer(pem.as_bytes()).map(|block| Self::of(block.ok()?.contents)).collect()
    }

    fn of(der: Vec<u8>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let second = |time: i64| u64::try_from(time).ok();
        let begin = second(certificate.validity().not_before.timestamp())?;
        let end = second(certificate.validity().not_after.timestamp())?;
        let public_key = certificate.public_key().raw.to_vec();
        let names = certificate.subject_alternative_name().ok()?;
        let names = names.map_or_else(Vec::new, |names| {
            names.value.general_names.iter().filter_map(name_text).collect()
        });
        Some(Self { public_key, begin, end, names, der })
    }

    /// Whether the private key of `pem` belongs to it.
    #[must_use]
    pub fn fits(&self, pem: &str) -> bool {
        KeyPair::from_pem(pem).is_ok_and(|key| key.subject_public_key_info() == self.public_key)
    }

    /// Whether both have one public key.
    #[must_use]
    pub fn same_key(&self, other: &Self) -> bool {
        self.public_key == other.public_key
    }

    /// Whether `authority` signed it.
    #[must_use]
    pub fn signed_by(&self, authority: &Self) -> bool {
        let (Ok((_, own)), Ok((_, authority))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&authority.der))
        else {
            return false;
        };
        own.issuer() == authority.subject()
            && authority.is_ca()
            && own.verify_signature(Some(authority.public_key())).is_ok()
    }
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(bytes) => Some(IpAddr::from(bytes).to_string()),
            Err(_) => {
                <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string())
            }
        },
        _ => None,
    }
}

fn subject(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    subject.push(DnType::CommonName, common_name);
    subject
}

fn set_period(params: &mut CertificateParams, period: Period) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(period.begin);
    params.not_after = epoch + Duration::from_secs(period.end);
}

const DAY: u64 = 24 * 60 * 60;
