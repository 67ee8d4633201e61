/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Amazon's registries by their names (registries.md D.4): whose, where, and
 * which API stands beside them.  Pure but for ecr_place_endpoint. */
#include <stdbool.h>

#define ECR_ACCOUNT_LEN 12
#define ECR_REGION_MAX 31

struct ecr_place {
	bool is_public;			   /* public.ecr.aws */
	char account[ECR_ACCOUNT_LEN + 1]; /* "" if public */
	char region[ECR_REGION_MAX + 1];
	const char *service; /* what signatures name: "ecr" */
	char api[160];	     /* "https://api.ecr.eu-west-1.amazonaws.com/" */
};

/* False: the host is none of them. */
bool ecr_place_parse(const char *host, struct ecr_place *ret);
/* Where the API is asked: $AWS_ENDPOINT_URL_ECR (.._ECR_PUBLIC), else
 * $AWS_ENDPOINT_URL, as AWS's tools do, else place->api. */
const char *ecr_place_endpoint(const struct ecr_place *place);
