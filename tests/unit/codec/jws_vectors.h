/* jws_vectors.h - keys and tokens that others have made: appendices of RFC 7515 and RFC 8037, Node.js, and the
 * library that signed before. */
#pragma once

/* Node.js: one token for each algorithm that the RFCs have no example of with a JSON object in it. */
static const char node_jwks[] =
    "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"yQwFSeqwSdlV-Mq5zSa4F3CN9dywSNo3kTuJhoQjErDBouyIGRai6p-OmGZiAun"
    "ZrlDw45zV7wzeusSrz-oKOThMHE62WiUCs2AVxkF-9z7NOPLv3fe0lP9c7wj59O3tI2QNGwEgOCiB7qNwc6IulPDrh"
    "bavv8EZKRPHzL3kVI1lxgMwCF4ed7Ge6kNkEJT0Hgbi-kvZ4Re-8PK0X0Lcnz51SIaSar3uGg6fo26JNcQAkx0AkKB"
    "wpgen1iG6JvBTDT34yUXO1GahrvJL5ZuV5BSWoLnFPzQcsjWUpXrx435xoqSMXCQsACHldYcLKWndUhdKABbfrK0w6"
    "qVANel_lw\",\"e\":\"AQAB\",\"kid\":\"rsa\"},{\"kty\":\"EC\",\"x\":\"4ZEDQPZiewjkjL-je_D9b-SsRdP4dmLT6s-Nwi"
    "k9TeQZAKucSv9g02CS9QRxqAON\",\"y\":\"0vELQHyN06EZfnp0OBapk_qjnW23YT0dazLHOsCDI3c8ERQVa1hSWj_hH"
    "bEhEe0U\",\"crv\":\"P-384\",\"kid\":\"p384\"},{\"crv\":\"Ed25519\",\"x\":\"RKRwO2OvimsgmdRrZwJ5BMcOrBuBZtt"
    "boq33PZV5zXw\",\"kty\":\"OKP\",\"kid\":\"ed\"}]}";

static const struct {
	enum jws_alg alg;
	const char *token;
} node_tokens[] = {
	{ JWS_RS256, "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwibiI6MX0.T"
		     "puH1T7dWFb2f4oBN6MgOUipJ5dQl1tZ1hmgpcsuMVPT5EHSZFKgMjvjxyiNePT3H8CCRParpWJwBtyQ8zpyftKD2R-"
		     "LrNReLHddiZvBdAyRsUC35aR5LLU6pIyS4z9sdlDqbRmf6fFcEao3h8Qt6D6jYsMtAarzyuWyRNUcoRMSjxPWrh2HG"
		     "3uQzxd_IwWxuj-efyA276ZVQ4BqiG_djaB81DFruBAzcbTKrr_q99wg8S7ETtnNnGS906uMuUT_XXPNS966TLmDMCN"
		     "Evj0wANvpz5lWchX4sC40Gki1Ursj9JW9GTOOveQmpRNHFHFClnLKUI4aU-2BbJEQmhsJQw" },
	{ JWS_RS384, "eyJhbGciOiJSUzM4NCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwibiI6MX0.y"
		     "Fi6c8xDgtoKDJG273-EbBnR4sONbvTTlTIzZdKjNgj6PMAEczXp54vPcGPEzxrUl8w_yuIPc2BBbZkGkeIxJdNglSA"
		     "ULWvuy1aKEi9JFEIbXqEbeCAqqMcmlj66_PPiLd1eOI55Sydo8owrgYQPloAloLzLdAIcUDGJ50E1gFOWL8WVXWhqN"
		     "5mBrKW_KAMwTJQvl6mGgNVOqURBVfXTQyzzJpmEAoeHga3jFOLmeCyEneqrS4eI_pxKGQtUmWAH4FWPJtNltJ_3gsg"
		     "sLErYTkr9G2zhCH_GK4kkvqQBJnzYJHm-OYxYmbOZsB45czjiy0Z9oZhMPbskXqtY1uGUIg" },
	{ JWS_RS512, "eyJhbGciOiJSUzUxMiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwibiI6MX0.j"
		     "i7cwUKrrHNMK8UL8ptHc1HNR2vU4Hb55LlbKFZLWvv4XLbexGJl9OvFGJAsVdcajfLibO6ojk8gSU9DBfMOUiN5-Vt"
		     "R1J1LYbT1MrMLvLRuxlgGOwU4cNIyYvIyOLxn_oSTmh8sBvjJ9TVJM9BajmZI50xDnW27eRTdM5rdm0ElFEz9zAxHa"
		     "I0_bkgAeKAUlrNkLdIRaIg0JitqXv_EG8h0ETpJ8YJsjXpOLTqK7DfA6UZqTSg4HYoRJDmiKHqz-JVOzCZqJ4g-Pf_"
		     "dh7F33qa1Ncn-VJFmsuMcKnSzGRKB-BG2rXZ_hV052zpOHVzv5MHDMfGqdyDZe-ATbxTc7A" },
	{ JWS_PS256, "eyJhbGciOiJQUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwibiI6MX0.a"
		     "TzwrtTaMfB8dPuJLmZ9p9lkSpHxy5JjpqT1gGdAmeTEfoZxS0TxFAX3u-VnwatjY3dLErqT8x0KD_0e8T50ROK2MzX"
		     "8Gi3Wc185aIQmc0eeaFwOXM8HjkSrirAZ_Oh-aoBXsG3INjOaY6Blb8f9BMvp1USvWaZVexBzWgnsCdabqmrLxJ3vC"
		     "XwwZpsNPgb1BRd9tQzZUGuqWVVgLISIJDVrsVSetQ64ijo6g8qIWJehli65kBJqb12468cC3fApgbPRnsL30Q6DlxV"
		     "Jmmn6HvcNWHV-RjstqNLxQHdn6pRZ04-PQUxkNe9rh4WLJAV5yKC5kUX_mhfZWzsfQwHV9A" },
	{ JWS_PS384, "eyJhbGciOiJQUzM4NCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwibiI6MX0.H"
		     "8bjMAs7qLzjpGIbG_P-6_mIt4NAOFK_pH6S8MTOcbbrch2sqmJKyN30ZTWoxT6dPnFIyxdKaNHE-HL58N6_yejeupX"
		     "8yTGedm4yggozucu0rSkzAPBrX3v1FLZTnWOjN9pMHwa5-ZJ_XDMZDJ2VXMFxgaJBwJQ82QwIUP2Mf1dXLea0q-4Sd"
		     "Pv_8vSFNrREa2UdZ17nPkX157Lp17GVyJlpCELWdnah-i1c7sWyeeboz6w4g3jCOgr9k2PHN5FQndbXqxDdXgAmMVp"
		     "mFJ3SMmqatEMrzdrAnadbmmUW7I9lcLZevNfLb2MH7UTDCWM6r2Lz0EQ53yUahbJ1lvbr1w" },
	{ JWS_PS512, "eyJhbGciOiJQUzUxMiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwibiI6MX0.m"
		     "WQHBJxqptCzBdn28xSEPNgA0MLVAbLeJn-NXeCx0kkzmp58rAgY7cgxQPmGJIuSA_ACPaUU4E-myg-YOZehLCJ5yZW"
		     "oUYXa5lB5Qd2EH9R3LsSnG745-QB955CgI2gjNslJon-0McCbDC8VrlXGsmiXrSEeoBGNMdPau9rAPc7zupYNbP9QZ"
		     "0viNDVJAGF57YpdFsk4WQMgp0GxV0M36Br4Ls4HOsj3z1O69yiw5iXbuz3xSJ_W_sGGHOQ5eL7jH8gVusAtvArV9ah"
		     "LX2ViHYPqbVzKE2z5wvn7330ECS1-He7F8bdlvW_bjUxVlUQrYRsENbw5qDOezyMI7PmOTQ" },
	{ JWS_ES384, "eyJhbGciOiJFUzM4NCIsImtpZCI6InAzODQifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwibiI6MX0"
		     ".8tYinPpb0wfEJhA-4Z7Hf1v3wCz5bC-memxJO-jqTs1mMC9CnfLTRc2sT04xeA8QeVGUoTLq5HLvV8a5Myyal5HiO"
		     "kF-X_GNh4O2xWFAfuXzdWJd4pPyKZ0qEndraYBU" },
	{ JWS_EDDSA, "eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwibiI6MX0.Zf"
		     "KzAr6u4fjSfdRmGYhcHC7CDHvlbaM4g_L77-2U3zR4vwWi0_iWqdeApRVc8m8mQAngeXb4pGs2ttTrjNLqDg" },
};

/* libjwt 1.10: Secrets of clusters hold such tokens. */
#define LIBJWT_KEY                                                           \
	"-----BEGIN PUBLIC KEY-----\n"                                       \
	"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEChVtPXszUfnpn/HUpAUfPfUdu2+m\n" \
	"GCLvlaeEZmpFb5QXhbZZ5xNCGRRPNyuUV6uzIWzFusX5q9QLO052fSeYXg==\n"     \
	"-----END PUBLIC KEY-----\n"
static const char libjwt_token[] =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJrdWJlcm5ldGVzL3NlcnZpY2VhY2"
    "NvdW50Iiwic3ViIjoic3lzdGVtOnNlcnZpY2VhY2NvdW50OnRlYW06cm9ib3QiLCJ4IjoiPMOpLz4ifQ.E_OmLLSs9"
    "lSBKd5PxwN6ebHoor0w3OCdD7-ga56O66LrmDEeeb0QlfMeKZ4zWlg55-HbLTxTP2sgjOkfQU-MvA";

/* RFC 7515 A.2: RS256; A.3: ES256; A.4: ES512; RFC 8037 A.4: EdDSA. The claims of the last two are no JSON. */
static const char rfc_jwks[] =
    "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQ"
    "p-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzj"
    "b_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlx"
    "vb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4"
    "FRWyuXpoQ\",\"e\":\"AQAB\"},{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9u"
    "PHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":"
    "\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\""
    ",\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3k"
    "yMj2\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static const struct {
	enum jws_alg alg;
	const char *token;
	bool json;
} rfc_tokens[] = {
	{ JWS_RS256,
	  "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlL"
	  "mNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7"
	  "AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWz"
	  "O75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZES"
	  "c6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlU"
	  "PQGe77Rw",
	  true },
	{ JWS_ES256,
	  "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlL"
	  "mNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA"
	  "pmWQxfKTUJqPP3-Kg6NU1Q",
	  true },
	{ JWS_ES512,
	  "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWRO"
	  "c-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vc"
	  "nwNrmxYbSW9ERBXukOXolLzeO_Jn",
	  false },
	{ JWS_EDDSA,
	  "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGc"
	  "vMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
	  false },
};
