/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The password of a private registry is used as it is (Basic), that of the
 * public one buys tokens at its token server.  There, it is a matter of pull
 * limits only: without keys, or without leave to ask, reading goes on in
 * nobody's name.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/authentry.h"
#include "registry/ecr.h"
#include "registry/host.h"
#include "registry/login.h"
#include "registry/wire/fault_table.h"
#include "util/auto.h"
#include "util/clock.h"
#include "util/encode.h"
#include "util/json.h"

#define LIFE_DEFAULT_S 3600
#define LIFE_MIN_S 60
#define LIFE_MAX_S 43200 /* what they give */
#define TOKEN_BYTES_MAX ((size_t)16384)

/* "AWS:password" in base64. */
static int read_pair(const char *code, struct credential *ret)
{
	autostr text = {.max = TOKEN_BYTES_MAX};
	size_t n = strlen(code);
	char *colon;
	int r;

	if (n > TOKEN_BYTES_MAX)
		return -EBADMSG;
	/* In one piece, so that growing leaves no copies. */
	r = str_reserve(&text, n);
	if (r == 0)
		r = base64_decode(code, n, &text);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	colon = text.len ? memchr(text.buf, ':', text.len) : NULL;
	if (!colon || colon == text.buf || !colon[1] ||
	    strlen(text.buf) != text.len || !authentry_is_printable(text.buf)) {
		r = -EBADMSG;
	} else {
		*colon = '\0';
		ret->kind = CREDENTIAL_BASIC;
		ret->user = strdup(text.buf);
		ret->secret = strdup(colon + 1);
		r = ret->user && ret->secret ? 0 : -ENOMEM;
	}
	if (text.buf)
		explicit_bzero(text.buf, text.len);
	return r;
}

/* "https://111122223333.dkr.ecr.…": whose registry these keys open. */
static void read_account(const char *url, char ret[ECR_ACCOUNT_LEN + 1])
{
	const char *s = url ? strstr(url, "://") : NULL;

	*ret = '\0';
	if (!s || strspn(s + 3, "0123456789") != ECR_ACCOUNT_LEN)
		return;
	memcpy(ret, s + 3, ECR_ACCOUNT_LEN);
	ret[ECR_ACCOUNT_LEN] = '\0';
}

int ecr_read_token(const struct json *answer, int64_t now,
		   struct credential *ret, uint64_t *ret_life_s,
		   char ret_account[ECR_ACCOUNT_LEN + 1])
{
	const struct json *data = json_find(answer, "authorizationData");
	autocredential c = {.kind = CREDENTIAL_NONE};
	int64_t end = now + LIFE_DEFAULT_S;
	const char *code;
	int r;

	/* An array of one; of the public registry, that one. */
	if (json_is_array(data))
		data = json_at(data, 0);
	code = json_text(json_find(data, "authorizationToken"));
	if (!code || json_opt_seconds(data, "expiresAt", &end, NULL) < 0)
		return -EBADMSG;
	r = read_pair(code, &c);
	if (r < 0)
		return r;
	end -= now;
	if (end > LIFE_MAX_S)
		end = LIFE_MAX_S;
	*ret_life_s = end < LIFE_MIN_S ? LIFE_MIN_S : (uint64_t)end;
	read_account(json_text(json_find(data, "proxyEndpoint")), ret_account);
	*ret = c;
	c = (struct credential){.kind = CREDENTIAL_NONE};
	return 0;
}

static void identify(const struct awskeys *keys, char out[17])
{
	struct credential c = {.kind = CREDENTIAL_BASIC,
			       .user = keys->id,
			       .secret = keys->secret};

	credential_identity(&c, out);
}

static void wipe_token(const struct json *answer)
{
	const struct json *data = json_find(answer, "authorizationData");
	const char *code;

	if (json_is_array(data))
		data = json_at(data, 0);
	code = json_text(json_find(data, "authorizationToken"));
	/* The parser's copy; nobody else has seen the tree. */
	if (code)
		explicit_bzero((char *)(uintptr_t)code, strlen(code));
}

int ecr_authorize(struct registry *r, const struct awskeys *keys,
		  struct wait *w, struct credential *ret, uint64_t *ret_life_s,
		  struct outcome *out)
{
	const struct ecr_ask ask = {
		.keys = keys, .action = "GetAuthorizationToken", .body = "{}"};
	char account[ECR_ACCOUNT_LEN + 1];
	struct json *answer = NULL;
	int e = ecr_call(r, &ask, w, &answer, out);

	if (e < 0)
		return e;
	e = ecr_read_token(answer, clock_wall(), ret, ret_life_s, account);
	wipe_token(answer);
	json_free(answer);
	if (e < 0)
		return outcome_set(out, e == -ENOMEM ? e : -EIO,
				   "GetAuthorizationToken: no password in the "
				   "answer");
	autolock(&r->ecr->lock);
	identify(keys, r->ecr->identity);
	memcpy(r->ecr->account, account, sizeof(account));
	return 0;
}

/* 1: they are known to be; 0: not yet known. */
static int compare_account(struct ecr *ecr, const struct awskeys *keys,
			   struct outcome *out)
{
	char identity[17];

	identify(keys, identity);
	autolock(&ecr->lock);
	if (strcmp(ecr->identity, identity) != 0)
		return 0;
	if (strcmp(ecr->account, ecr->place.account) == 0)
		return 1;
	memset(out, 0, sizeof(*out));
	if (!*ecr->account)
		return outcome_set(out, -EACCES,
				   "it is not known of which account the AWS "
				   "keys are");
	return outcome_set(out, -EACCES, "the AWS keys are those of account %s",
			   ecr->account);
}

int ecr_check_account(struct registry *r, const struct awskeys *keys,
		      struct wait *w, struct outcome *out)
{
	autocredential given = {.kind = CREDENTIAL_NONE};
	uint64_t life_s;
	int e = compare_account(r->ecr, keys, out);

	if (e == 0) {
		e = ecr_authorize(r, keys, w, &given, &life_s, out);
		if (e == 0)
			e = compare_account(r->ecr, keys, out);
		/* Others have changed the keys in between. */
		if (e == 0)
			e = outcome_set(out, -EAGAIN, "the AWS keys changed");
	}
	return e < 0 ? e : 0;
}

/* --- as a row of login.h --- */

static int have(const struct registry *r, struct credential *ret)
{
	autoawskeys keys = {.id = NULL};
	int e = ecr_keys(r, &keys);

	/* What anybody may read does not fail for broken keys. */
	if (e == -ENOENT || (e == -EACCES && r->ecr->place.is_public)) {
		*ret = (struct credential){.kind = CREDENTIAL_NONE};
		return 0;
	}
	if (e < 0)
		return e;
	*ret = (struct credential){.kind = CREDENTIAL_BASIC};
	ret->user = steal(&keys.id);
	ret->secret = steal(&keys.secret);
	return 0;
}

static int ask(struct registry *r, const struct credential *had, struct wait *w,
	       struct credential *ret, uint64_t *ret_life_s,
	       struct outcome *out)
{
	autoawskeys keys = {.id = NULL};
	int e = ecr_keys(r, &keys);

	(void)had; /* lacks the session's token */
	if (e < 0)
		return outcome_set(out, e == -ENOMEM ? e : -EACCES,
				   "the AWS keys are gone");
	e = ecr_authorize(r, &keys, w, ret, ret_life_s, out);
	if (e < 0 && r->ecr->place.is_public && e != -EINTR && e != -ENOMEM)
		out->refused = true;
	return e;
}

const struct login_row login_ecr = {
	.name = "AWS keys",
	.have = have,
	.ask = ask,
};
