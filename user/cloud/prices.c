/* SPDX-License-Identifier: Apache-2.0 */
/* On-demand prices from the Price List API. */
#include "cloud/private.h"

#include <cjson/cJSON.h>

#define BY_TYPE_MAX 20 /* up to so many types are asked for one by one */

static double usd_of_dimension(const cJSON *dimension)
{
	const cJSON *unit = cJSON_GetObjectItemCaseSensitive(dimension, "unit");
	const cJSON *price = cJSON_GetObjectItemCaseSensitive(dimension, "pricePerUnit");
	const cJSON *usd = cJSON_GetObjectItemCaseSensitive(price, "USD");
	double value = NAN;

	if (!usd)
		usd = cJSON_GetObjectItemCaseSensitive(price, "CNY");
	if (!cJSON_GetStringValue(usd) || parse_double(usd->valuestring, &value) < 0)
		return NAN;
	if (cJSON_GetStringValue(unit) && strcmp(unit->valuestring, "Hrs") != 0)
		return NAN;
	return isfinite(value) && value > 0 ? value : NAN;
}

/* terms.OnDemand.<offer>.priceDimensions.<rate>.pricePerUnit.USD */
static void take_product(const cJSON *product,
			 void (*fn)(void *arg, const char *type, double usd_per_hour), void *arg)
{
	const cJSON *facts = cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(product, "product"), "attributes");
	const char *type =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(facts, "instanceType"));
	const cJSON *offers = cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(product, "terms"), "OnDemand");
	const cJSON *offer, *dimension;

	if (!type)
		return;
	cJSON_ArrayForEach (offer, offers) {
		const cJSON *dimensions =
			cJSON_GetObjectItemCaseSensitive(offer, "priceDimensions");

		cJSON_ArrayForEach (dimension, dimensions) {
			double usd = usd_of_dimension(dimension);

			if (!isnan(usd))
				fn(arg, type, usd);
		}
	}
}

int prices_parse(const char *body, size_t length,
		 void (*fn)(void *arg, const char *type, double usd_per_hour), void *arg,
		 char **token)
{
	cJSON *page = cJSON_ParseWithLength(body, length);
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(page, "PriceList"), *item;
	const char *next =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(page, "NextToken"));

	*token = NULL;
	if (!cJSON_IsArray(list)) {
		cJSON_Delete(page);
		return -EBADMSG;
	}
	cJSON_ArrayForEach (item, list) {
		cJSON *product;

		if (!cJSON_IsString(item)) {
			take_product(item, fn, arg);
			continue;
		}
		product = cJSON_Parse(item->valuestring);
		take_product(product, fn, arg);
		cJSON_Delete(product);
	}
	if (next && *next)
		*token = strdup(next);
	cJSON_Delete(page);
	return 0;
}

static void ask_prices(struct cloud *cloud);

static void take_price(void *arg, const char *name, double usd_per_hour)
{
	struct instance_type *type = catalog_find(arg, name);

	if (type)
		type->usd_per_hour = usd_per_hour;
}

static void prices_end(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;

	state->pricing = false;
	state->priced_wall_ns = time_wall_ns();
	catalog_publish(cloud);
	catalog_save(cloud);
	loop_timer_at(state->price_timer, catalog_due_ns(TYPES_EVERY_NS));
	refresh_ended(cloud, &state->refresh.prices, NULL);
}

static void on_prices(void *arg, const struct answer *answer)
{
	struct catalog_state *state = arg;
	char words[512];

	free(TAKE(state->price_token));
	if (answer->error || prices_parse(answer->body, answer->length, take_price, state,
					  &state->price_token) < 0) {
		const char *why = answer->error ? answer_text(answer, words) : "no price list";

		log_warning("no on-demand prices: Pricing GetProducts: %s; --max-usd-per-hour "
			    "holds launches of unknown price",
			    why);
		state->pricing = false;
		loop_timer_at(state->price_timer, time_mono_ns() + 300 * NS_PER_S);
		refresh_ended(state->cloud, &state->refresh.prices, why);
		return;
	}
	if (!state->price_token && state->price_by_type)
		state->price_at++;
	if (state->price_token || (state->price_by_type && state->price_at < state->types.count))
		ask_prices(state->cloud);
	else
		prices_end(state->cloud);
}

static void add_match(struct text *body, const char *field, const char *value)
{
	text_add(body, ",{\"Type\":\"TERM_MATCH\",\"Field\":");
	text_add_json(body, field);
	text_add(body, ",\"Value\":");
	text_add_json(body, value);
	text_add_char(body, '}');
}

/* The filters that leave one product a type: as Karpenter asks. */
static void ask_prices(struct cloud *cloud)
{
	static const char *const MATCHES[][2] = {
		{"operatingSystem", "Linux"}, {"tenancy", "Shared"},
		{"preInstalledSw", "NA"},     {"capacitystatus", "Used"},
		{"marketoption", "OnDemand"},
	};
	struct catalog_state *state = &cloud->catalog;
	_cleanup_text_ struct text body = {0};

	text_add(&body, "{\"ServiceCode\":\"AmazonEC2\",\"FormatVersion\":\"aws_v1\","
			"\"MaxResults\":50,\"Filters\":[{\"Type\":\"TERM_MATCH\",\"Field\":"
			"\"regionCode\",\"Value\":");
	text_add_json(&body, cloud->identity.region);
	text_add_char(&body, '}');
	for (size_t i = 0; i < ARRAY_SIZE(MATCHES); i++)
		add_match(&body, MATCHES[i][0], MATCHES[i][1]);
	if (state->price_by_type)
		add_match(&body, "instanceType", state->types.at[state->price_at].name);
	text_add_char(&body, ']');
	if (state->price_token) {
		text_add(&body, ",\"NextToken\":");
		text_add_json(&body, state->price_token);
	}
	text_add_char(&body, '}');
	call_send(cloud, &(struct call_request){
				 .service = SERVICE_PRICING,
				 .target = "AWSPriceListService.GetProducts",
				 .body = body.data,
				 .flags = CALL_RETRY_LITTLE | CALL_JSON,
				 .done = on_prices,
				 .arg = state,
			 });
}

void catalog_fetch_prices(struct cloud *cloud)
{
	struct catalog_state *state = &cloud->catalog;

	if (state->pricing || !state->types.count)
		return;
	state->pricing = true;
	state->price_at = 0;
	state->price_by_type = state->types.count <= BY_TYPE_MAX;
	free(TAKE(state->price_token));
	ask_prices(cloud);
}
