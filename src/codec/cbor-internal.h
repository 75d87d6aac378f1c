/* cbor-internal.h - what heads of items are made of (RFC 8949, section 3); for cbor_decode.c and cbor_encode.c. */
#pragma once

/* The high three bits of a head. */
enum cbor_major {
	CBOR_UINT,
	CBOR_NEGATIVE, /* -1 - n */
	CBOR_BYTES,
	CBOR_TEXT,
	CBOR_LIST,
	CBOR_MAP,
	CBOR_TAG,
	CBOR_OTHER, /* floats and simple values */
};

/* The low five: a number below CBOR_ONE, how many bytes it has, or that there is none. */
#define CBOR_ONE 24
#define CBOR_EIGHT 27
#define CBOR_INDEFINITE 31

enum cbor_simple { CBOR_FALSE = 20, CBOR_TRUE, CBOR_NULL, CBOR_UNDEFINED };
