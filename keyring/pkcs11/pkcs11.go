// Package pkcs11 keeps a station's keys in a PKCS#11 token: an HSM, a smart card, SoftHSM. Keys are made in it, or brought in once, and never come out: they are sensitive, not
// extractable and private, and one that is not is refused. What is brought in was somewhere else before.
//
// A key is an object whose label is "station/" and its name: a secret key of the type generic secret, used with CKM_SHA256_HMAC, or a pair of Ed25519 keys, used with CKM_EDDSA.
//
// No call waits for ever, and none is put to a token that has hung. A token that was away is logged in to again once a call; a PIN that was refused is never given again.
// What a key is for, and what is made with it, do not belong here.
package pkcs11

const labelPrefix = "station/"
