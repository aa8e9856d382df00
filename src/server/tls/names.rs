//! The names in a client's certificate, read once for each connection. Called by `handshake`, after the
//! certificate has been verified.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use crate::caller::CertificateNames;

/// The DNS names and URIs of the first certificate's subject alternative name. None if there is no
/// certificate, or none that can be read; a certificate without such names has none.
pub(super) fn of(chain: &[CertificateDer<'_>]) -> Option<CertificateNames> {
    let (_, certificate) = parse_x509_certificate(chain.first()?).ok()?;
    let names = certificate.subject_alternative_name().ok()?;
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| match name {
        // Neither addresses nor e-mails are names of a program.
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        _ => None,
    });
    Some(CertificateNames(names.collect::<Arc<[String]>>()))
}
