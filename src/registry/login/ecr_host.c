/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's host is made of the partition's own constants and the region, so
 * whatever name somebody mounts, what is signed goes to Amazon.
 */
#include "registry/login/ecr_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ACCOUNT middle REGION end; the API is api_begin REGION api_end. */
static const struct {
	const char *middle, *end, *api_begin, *api_end;
} partitions[] = {
	{".dkr.ecr.", ".amazonaws.com", "api.ecr.", ".amazonaws.com"},
	{".dkr.ecr-fips.", ".amazonaws.com", "ecr-fips.", ".amazonaws.com"},
	{".dkr.ecr.", ".amazonaws.com.cn", "api.ecr.", ".amazonaws.com.cn"},
	{".dkr.ecr.", ".amazonaws.eu", "api.ecr.", ".amazonaws.eu"},
	/* dual-stack */
	{".dkr-ecr.", ".on.aws", "ecr.", ".api.aws"},
	{".dkr-ecr-fips.", ".on.aws", "ecr-fips.", ".api.aws"},
	{".dkr-ecr.", ".on.amazonwebservices.com.cn", "ecr.",
	 ".api.amazonwebservices.com.cn"},
};

static bool is_account(const char *s)
{
	return strspn(s, "0123456789") == ECR_ACCOUNT_LEN;
}

/* One label, between `s` and what the name has to end with. */
static bool read_region(const char *s, const char *end, char ret[])
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

	if (n == 0 || n > ECR_REGION_MAX || *s == '-' || s[n - 1] == '-' ||
	    strcmp(s + n, end) != 0)
		return false;
	memcpy(ret, s, n);
	ret[n] = '\0';
	return true;
}

static bool is_public(const char *host)
{
	return strcmp(host, "public.ecr.aws") == 0 ||
	       strcmp(host, "ecr-public.aws.com") == 0;
}

bool ecr_place_parse(const char *host, struct ecr_place *ret)
{
	struct ecr_place p = {.service = "ecr"};
	const char *rest = host + ECR_ACCOUNT_LEN;

	if (is_public(host)) {
		*ret = (struct ecr_place){
			.is_public = true,
			.region = "us-east-1",
			.service = "ecr-public",
			.api = "https://api.ecr-public.us-east-1.amazonaws."
			       "com/",
		};
		return true;
	}
	if (!is_account(host))
		return false;
	memcpy(p.account, host, ECR_ACCOUNT_LEN);
	for (size_t i = 0; i < sizeof(partitions) / sizeof(*partitions); i++) {
		size_t n = strlen(partitions[i].middle);

		if (strncmp(rest, partitions[i].middle, n) != 0 ||
		    !read_region(rest + n, partitions[i].end, p.region))
			continue;
		snprintf(p.api, sizeof(p.api), "https://%s%s%s/",
			 partitions[i].api_begin, p.region,
			 partitions[i].api_end);
		*ret = p;
		return true;
	}
	return false;
}

static const char *variable(const char *name)
{
	const char *s = getenv(name);

	return s && *s ? s : NULL;
}

const char *ecr_place_endpoint(const struct ecr_place *place)
{
	const char *ignore = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
	const char *own =
		variable(place->is_public ? "AWS_ENDPOINT_URL_ECR_PUBLIC"
					  : "AWS_ENDPOINT_URL_ECR");
	const char *all = variable("AWS_ENDPOINT_URL");

	if (ignore && strcasecmp(ignore, "true") == 0)
		return place->api;
	if (own)
		return own;
	return all ? all : place->api;
}
