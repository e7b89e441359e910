package snsserver

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"sync"
	"time"
)

// certificatePath is where the certificate of the signatures is served.
const certificatePath = "/SimpleNotificationService-686f6c6466617374.pem"

// keyPrimes makes the key that every server signs with. It is written here, and
// so worth nothing, in order that the same message has the same signature in each
// run and no test waits for a key to be found.
var keyPrimes = [2]string{
	"e58f658e660351326d719cddbae3cfc3ac02a327d1ff58f7915a29c0466dda6e" +
		"64f9e08aecf4ffedd3af1868f7fc403a1b902bcc9c3a1bbf6e0e8e22837b9424" +
		"1312601a196a7946670871820e1f9581f42ff810b179d053f8566024e74c0e02" +
		"f5ee251161e3236cc03be4441c6a7e4279acbce5f02c3f23fa6ed55af26f9a0d",
	"dc3533d5ee8038c08487c419234074ddfc9b859c4f7f723821c2045c38d84aa1" +
		"a9b36e8182e7e87f507aed1bc61c0d7f9db291a512a51b094561d74c040df665" +
		"47033f38b7224706f7696fc8ef1c41106512d5590f61dd67e214585686b36c08" +
		"7e2d3d142908053cf28ab77e3f1581729ed0901726344c8917a5103e507749df",
}

// signingKey is made when an envelope first needs it.
var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	var primes [2]*big.Int
	one := big.NewInt(1)
	phi := big.NewInt(1)
	for i, text := range keyPrimes {
		primes[i], _ = new(big.Int).SetString(text, 16)
		phi.Mul(phi, new(big.Int).Sub(primes[i], one))
	}
	const exponent = 65537
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(primes[0], primes[1]), E: exponent},
		D:         new(big.Int).ModInverse(big.NewInt(exponent), phi),
		Primes:    primes[:],
	}
	key.Precompute()
	return key
})

// certificate is the PEM of the key's certificate. It is made for the time that
// synctest bubbles begin in as well as for ours.
var certificate = sync.OnceValue(func() []byte {
	key := signingKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "sns.amazonaws.com", Organization: []string{"Holdfast, for tests"}},
		DNSNames:     []string{"sns.amazonaws.com"},
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return []byte(err.Error()) // a reader of certificates will say that it is none
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
})

// signature signs a text: SHA-1 with RSA for version 1, SHA-256 for version 2.
func signature(version, text string) string {
	hash, digest := crypto.SHA1, make([]byte, 0, sha256.Size)
	if version == "2" {
		sum := sha256.Sum256([]byte(text))
		hash, digest = crypto.SHA256, append(digest, sum[:]...)
	} else {
		sum := sha1.Sum([]byte(text))
		digest = append(digest, sum[:]...)
	}
	signed, err := rsa.SignPKCS1v15(nil, signingKey(), hash, digest)
	if err != nil {
		return err.Error() // no signature: whoever verifies it will see why
	}
	return base64.StdEncoding.EncodeToString(signed)
}
