/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What CI jobs and containers of a cloud find in their environment.  Other
 * tools log in with it, so it is a credential without anybody having written
 * it down for a registry; it comes after all that was (registries.md C.5).
 */
#include "config/authenv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/auto.h"
#include "util/json.h"

#define VALUE_MAX 8192
#define TEXT_MAX ((size_t)1 << 20)
#define KEY_MAX ((size_t)64 << 10)

AUTOPTR_DEFINE(json, json_free)

const char *const authenv_azure_hosts[] = {"*.azurecr.io", "*.azurecr.cn",
					   "*.azurecr.us", NULL};
const char *const authenv_google_hosts[] = {"gcr.io", "*.gcr.io",
					    "*-docker.pkg.dev", NULL};

static const char *variable(const char *name)
{
	const char *s = getenv(name);

	return s && *s && strlen(s) <= VALUE_MAX ? s : NULL;
}

static int write_entry(const char *host, const char *user, const char *word,
		       struct str *ret)
{
	int r;

	ret->max = TEXT_MAX;
	/* In one piece, so that growing leaves no copies. */
	r = str_reserve(ret,
			8 * (strlen(host) + strlen(user) + strlen(word)) + 128);
	if (r == 0)
		r = str_add(ret, "{\"auths\":{");
	if (r == 0)
		r = json_add_string(ret, host);
	if (r == 0)
		r = str_add(ret, ":{\"username\":");
	if (r == 0)
		r = json_add_string(ret, user);
	if (r == 0)
		r = str_add(ret, ",\"password\":");
	if (r == 0)
		r = json_add_string(ret, word);
	return r < 0 ? r : str_add(ret, "}}}");
}

/* Of a CI job: its own registry only. */
int authenv_gitlab(struct str *ret)
{
	const char *host = variable("CI_REGISTRY");
	const char *user = variable("CI_REGISTRY_USER");
	const char *word = variable("CI_REGISTRY_PASSWORD");

	if (!host || !user || !word)
		return 0;
	return write_entry(host, user, word, ret);
}

/* A service principal's secret is a password at the registry's own token end
 * point (registries.md D.5), so that nobody else has to be asked. */
int authenv_azure(struct str *ret)
{
	const char *user = variable("AZURE_CLIENT_ID");
	const char *word = variable("AZURE_CLIENT_SECRET");

	if (!variable("AZURE_TENANT_ID") || !user || !word)
		return 0;
	return write_entry(AUTHENV_ANY, user, word, ret);
}

/* Only a service account's key is a password; the other kinds are ways to get
 * a token from elsewhere. */
int authenv_google(const char *key, size_t len, struct str *ret,
		   const char **ret_reason)
{
	autoptr(json) doc = NULL;
	const char *type = "";
	int r;

	*ret_reason = "is no key file of Google's";
	r = json_parse_lenient(key, len, KEY_MAX, &doc, NULL);
	if (r < 0)
		return r;
	if (!json_is_object(doc) ||
	    json_opt_string(doc, "type", &type, NULL) < 0)
		return -EBADMSG;
	if (strcmp(type, "service_account") != 0) {
		*ret_reason =
			*type ? "is not a key of the type service_account, the "
				"only one that a registry takes as a password "
				"(others: docker-credential-gcloud)"
			      : "has no \"type\"";
		return -EBADMSG;
	}
	return write_entry(AUTHENV_ANY, "_json_key", key, ret);
}
