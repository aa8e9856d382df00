// Makes certificates for tests that run the built program with other clients.
//
//	make-certificates DIRECTORY
//
// ca.pem vouches for server.pem (localhost, 127.0.0.1, ::1) and for client.pem (reader.example,
// spiffe://example/reader), stranger.pem has another authority; each has its key beside it, as .key.
// They are good for a day.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// An authority, and where it puts what it makes.
type authority struct {
	directory   string
	certificate *x509.Certificate
	key         crypto.Signer
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: make-certificates DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "make-certificates:", err)
		os.Exit(1)
	}
}

func run(directory string) error {
	ours, err := newAuthority(directory, "ca")
	if err != nil {
		return err
	}
	theirs, err := newAuthority(directory, "stranger-ca")
	if err != nil {
		return err
	}
	server := x509.Certificate{
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	client := x509.Certificate{
		DNSNames:    []string{"reader.example"},
		URIs:        []*url.URL{{Scheme: "spiffe", Host: "example", Path: "/reader"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if err := ours.issue("server", server); err != nil {
		return err
	}
	if err := ours.issue("client", client); err != nil {
		return err
	}
	return theirs.issue("stranger", client)
}

func newAuthority(directory, name string) (*authority, error) {
	made := &authority{directory: directory}
	template := x509.Certificate{
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	if err := made.issue(name, template); err != nil {
		return nil, err
	}
	return made, nil
}

// Issues a certificate and writes it with its key; the first one is the authority's own.
func (a *authority) issue(name string, template x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	template.SerialNumber = serial
	template.Subject = pkix.Name{CommonName: "feishu-id test " + name}
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(24 * time.Hour)
	if !template.IsCA {
		template.KeyUsage = x509.KeyUsageDigitalSignature
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = &template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	if err != nil {
		return err
	}
	if a.certificate == nil {
		if a.certificate, err = x509.ParseCertificate(der); err != nil {
			return err
		}
		a.key = key
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := a.write(name+".pem", "CERTIFICATE", der, 0o644); err != nil {
		return err
	}
	return a.write(name+".key", "PRIVATE KEY", secret, 0o600)
}

func (a *authority) write(name, kind string, der []byte, mode os.FileMode) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	return os.WriteFile(filepath.Join(a.directory, name), text, mode)
}
