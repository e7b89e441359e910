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
// run and no test waits for a key to be found. Its 1024 bits are half of AWS's: a
// signature then takes a quarter of the time.
var keyPrimes = [2]string{
	"df007368dc799dcf65e3e932db36e0f93c0dfd471d27d3ee0d0393088d11be36" +
		"21aace6981f7144a972126315c2dbada8708f861c2eeb7f6247ec5dd1ebed95f",
	"ec0534574f38c39fde5b454d956d8f5bb888cc2de14bf30bd3dbbd27daf67cb7" +
		"380c3d6826894610d37dff352be0b31be11c31f67b2a03c95b256086297028b9",
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
