/* A path tracer that renders one tile of one picture: a task for Rialto.
 *
 *   raytrace <width> <height> <tile-size> <tile-index> <max-samples>
 *
 * Tiles are numbered row by row; those at the right and bottom edges are cut off. Standard output is the
 * tile's pixels, 3 bytes each (R, G, B), row by row. A pixel depends on its position alone, never on
 * its tile, so any division into tiles gives the same picture.
 *
 * Nothing here knows of Rialto. The program uses + - * / sqrt on 32-bit floats and libc's stdio. */

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- vectors -------------------------------------------------------------------------------- */

typedef struct { float x, y, z; } vec;

static vec v(float x, float y, float z) { return (vec){x, y, z}; }
static vec add(vec a, vec b) { return v(a.x + b.x, a.y + b.y, a.z + b.z); }
static vec sub(vec a, vec b) { return v(a.x - b.x, a.y - b.y, a.z - b.z); }
static vec mul(vec a, vec b) { return v(a.x * b.x, a.y * b.y, a.z * b.z); }
static vec scale(vec a, float s) { return v(a.x * s, a.y * s, a.z * s); }
static vec mix(vec a, vec b, float t) { return add(scale(a, 1 - t), scale(b, t)); }
static float dot(vec a, vec b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static vec cross(vec a, vec b) { return v(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x); }
static vec unit(vec a) { return scale(a, 1 / sqrtf(dot(a, a))); }
static vec reflect(vec d, vec n) { return sub(d, scale(n, 2 * dot(d, n))); }
static float luminance(vec c) { return 0.2126f * c.x + 0.7152f * c.y + 0.0722f * c.z; }
static float largest(vec c) { return fmaxf(c.x, fmaxf(c.y, c.z)); }
static float clamp(float x, float lo, float hi) { return fminf(fmaxf(x, lo), hi); }

/* ---- random numbers ------------------------------------------------------------------------- */

enum { STRATIFIED = 10 }; /* dimensions of a path that a low-discrepancy sequence drives */

typedef struct {
    uint64_t state;           /* PCG32 for everything after the first bounce */
    uint32_t at[STRATIFIED];  /* R-sequence: this pixel's random offset plus sample * step, mod 1 */
} sampler;

static uint32_t next(uint64_t *state) {
    uint64_t s = *state;
    *state = s * 6364136223846793005u + 1442695040888963407u;
    uint32_t x = (uint32_t)(((s >> 18) ^ s) >> 27), r = (uint32_t)(s >> 59);
    return x >> r | x << (-r & 31);
}

static float uniform(sampler *s) { return (float)(next(&s->state) >> 8) * 0x1p-24f; }
static float stratified(const sampler *s, int dim) { return (float)(s->at[dim] >> 8) * 0x1p-24f; }

static sampler sampler_for(int x, int y) {
    sampler s = {((uint64_t)y << 32 | (uint32_t)x) * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du, {0}};
    next(&s.state), next(&s.state);
    for (int d = 0; d < STRATIFIED; d++) s.at[d] = next(&s.state);
    return s;
}

/* The steps are powers of 1/g with g^11 = g + 1, which spread ten dimensions evenly. */
static void next_sample(sampler *s) {
    static const double g = 1.0682971889;
    double step = 1;
    for (int d = 0; d < STRATIFIED; d++) step /= g, s->at[d] += (uint32_t)(step * 0x1p32);
}

/* A point of the unit disk that keeps neighbours together (Shirley and Chiu's map). */
static void disk(float u, float w, float *x, float *y) {
    float a = 2 * u - 1, b = 2 * w - 1;
    bool wide = a * a > b * b;
    float r = wide ? a : b, turn = 0.78539816f * (wide ? b / a : b != 0 ? a / b : 0), t2 = turn * turn;
    float sine = turn * (1 - t2 / 6 * (1 - t2 / 20)), cosine = sqrtf(1 - sine * sine);
    *x = r * (wide ? cosine : sine), *y = r * (wide ? sine : cosine);
}

/* A direction around n: `spread` 1 is cosine-weighted over the hemisphere, less is a cone. */
static vec around(vec n, float u, float w, float spread) {
    float x, y;
    disk(u, w, &x, &y);
    x *= spread, y *= spread;
    vec t = unit(fabsf(n.x) > 0.7f ? cross(n, v(0, 1, 0)) : cross(n, v(1, 0, 0)));
    return add(add(scale(t, x), scale(cross(n, t), y)), scale(n, sqrtf(fmaxf(0, 1 - x * x - y * y))));
}

/* ---- scene ---------------------------------------------------------------------------------- */

typedef enum { COATED, METAL, GLASS } kind; /* COATED: a matte body under a clear varnish */
typedef struct { kind kind; vec colour; float rough; } material;
typedef struct { vec centre; float radius; material material; } sphere;
typedef struct { float box[6]; int skip, from, to; } node; /* of a tree in depth-first order: x y z, low then high */
typedef struct { vec from, along, inverse; int near[3]; } ray; /* near: which side of a box it meets first */
typedef struct { float t; vec point, normal; material material; } hit;

enum { MAX_SPHERES = 256, LEAF = 3, MAX_DEPTH = 9 };
static const float EPSILON = 1e-3f, FAR = 1e9f, GLASS_INDEX = 1.5f, HAZE_FROM = 9;

static sphere spheres[MAX_SPHERES];
static node nodes[2 * MAX_SPHERES];
static int sphere_count, node_count;

static vec sun, sun_light = {6.2f, 4.3f, 2.5f}; /* direction, and irradiance across it */
static const float SUN_SPREAD = 0.05f;          /* sine of the sun's angular radius: soft shadows */

static void place(float x, float y, float z, float radius, material m) {
    if (sphere_count < MAX_SPHERES) spheres[sphere_count++] = (sphere){v(x, y, z), radius, m};
}

/* Three large spheres amid a sunflower of small ones. */
static void build_scene(void) {
    static const vec palette[] = {{0.85f, 0.20f, 0.13f}, {0.95f, 0.55f, 0.12f}, {0.04f, 0.33f, 0.38f},
                                  {0.90f, 0.82f, 0.68f}, {0.10f, 0.16f, 0.42f}, {0.60f, 0.09f, 0.22f}};
    sun = unit(v(-0.78f, 0.50f, -0.12f));
    place(0.0f, 1.30f, 0.0f, 1.30f, (material){GLASS, v(0.97f, 0.99f, 0.98f), 0});
    place(-2.75f, 1.05f, -1.1f, 1.05f, (material){METAL, v(1.0f, 0.71f, 0.29f), 0.04f});
    place(2.65f, 1.15f, -0.9f, 1.15f, (material){COATED, v(0.03f, 0.28f, 0.36f), 0});
    uint64_t state = 7;
    float c = 1, s = 0; /* turned by the golden angle each time */
    for (int i = 1; i < 190; i++) {
        float turned = c * -0.73736888f - s * 0.67549029f;
        s = c * 0.67549029f + s * -0.73736888f, c = turned;
        float distance = 0.66f * sqrtf((float)i), radius = 0.15f + 0.17f * (float)(next(&state) >> 8) * 0x1p-24f;
        float x = distance * c, z = distance * s - 0.4f;
        uint32_t pick = next(&state) % 16;
        vec colour = palette[next(&state) % 6];
        bool free = true;
        for (int k = 0; k < 3 && free; k++) {
            float dx = x - spheres[k].centre.x, dz = z - spheres[k].centre.z, room = spheres[k].radius + radius;
            free = dx * dx + dz * dz > room * room;
        }
        if (!free || z > 5.6f) continue;
        material m = {COATED, colour, 0};
        if (pick < 2) m = (material){GLASS, mix(colour, v(1, 1, 1), 0.75f), 0};
        else if (pick < 5) m = (material){METAL, mix(colour, v(0.95f, 0.93f, 0.9f), 0.5f), 0.12f};
        place(x, radius, z, radius, m);
    }
}

static float axis(vec a, int i) { return i == 0 ? a.x : i == 1 ? a.y : a.z; }

/* Splits spheres [from, to) at the median of the longer ground axis until few are left. */
static void build_tree(int from, int to) {
    node *n = &nodes[node_count++];
    bool leaf = to - from <= LEAF;
    n->from = from, n->to = leaf ? to : from;
    for (int i = 0; i < 3; i++) {
        n->box[i] = FAR, n->box[i + 3] = -FAR;
        for (int k = from; k < to; k++) {
            n->box[i] = fminf(n->box[i], axis(spheres[k].centre, i) - spheres[k].radius);
            n->box[i + 3] = fmaxf(n->box[i + 3], axis(spheres[k].centre, i) + spheres[k].radius);
        }
    }
    if (!leaf) {
        int by = n->box[3] - n->box[0] > n->box[5] - n->box[2] ? 0 : 2;
        for (int i = from + 1; i < to; i++) { /* insertion sort: there are few */
            sphere moved = spheres[i];
            int k = i;
            for (; k > from && axis(spheres[k - 1].centre, by) > axis(moved.centre, by); k--) spheres[k] = spheres[k - 1];
            spheres[k] = moved;
        }
        build_tree(from, (from + to) / 2);
        build_tree((from + to) / 2, to);
    }
    n->skip = node_count;
}

static ray towards(vec from, vec d) {
    vec i = v(1 / (d.x != 0 ? d.x : 1e-12f), 1 / (d.y != 0 ? d.y : 1e-12f), 1 / (d.z != 0 ? d.z : 1e-12f));
    return (ray){from, d, i, {i.x < 0 ? 3 : 0, i.y < 0 ? 4 : 1, i.z < 0 ? 5 : 2}};
}

static bool enters(const node *n, const ray *r, float limit) {
    float x0 = (n->box[r->near[0]] - r->from.x) * r->inverse.x, x1 = (n->box[3 - r->near[0]] - r->from.x) * r->inverse.x;
    float y0 = (n->box[r->near[1]] - r->from.y) * r->inverse.y, y1 = (n->box[5 - r->near[1]] - r->from.y) * r->inverse.y;
    float z0 = (n->box[r->near[2]] - r->from.z) * r->inverse.z, z1 = (n->box[7 - r->near[2]] - r->from.z) * r->inverse.z;
    float near = x0 > y0 ? x0 : y0, far = x1 < y1 ? x1 : y1;
    near = near > z0 ? near : z0, far = far < z1 ? far : z1;
    return near <= far && far > 0 && near < limit;
}

/* Distance to a sphere, or FAR. */
static float meets(const sphere *s, const ray *r) {
    vec oc = sub(s->centre, r->from);
    float b = dot(oc, r->along);
    vec off = sub(oc, scale(r->along, b));
    float h = s->radius * s->radius - dot(off, off);
    if (h <= 0) return FAR;
    h = sqrtf(h);
    return b - h > EPSILON ? b - h : b + h > EPSILON ? b + h : FAR;
}

static material ground(vec p) {
    bool light = ((int)floorf(p.x * 0.8f) + (int)floorf(p.z * 0.8f)) & 1;
    return (material){COATED, light ? v(0.80f, 0.74f, 0.66f) : v(0.10f, 0.11f, 0.14f), 0.015f};
}

static bool trace(vec o, vec d, hit *out) {
    ray r = towards(o, d);
    int best = -1;
    float ground_at = -o.y * r.inverse.y;
    out->t = d.y < 0 && ground_at > EPSILON ? ground_at : FAR;
    for (int i = 0; i < node_count;) {
        const node *n = &nodes[i];
        bool inside = enters(n, &r, out->t);
        for (int k = n->from; inside && k < n->to; k++) {
            float t = meets(&spheres[k], &r);
            if (t < out->t) out->t = t, best = k;
        }
        i = inside ? i + 1 : n->skip;
    }
    if (out->t >= FAR) return false;
    out->point = add(o, scale(d, out->t));
    if (best < 0) {
        out->normal = v(0, 1, 0), out->material = ground(out->point);
    } else {
        out->normal = scale(sub(out->point, spheres[best].centre), 1 / spheres[best].radius);
        out->material = spheres[best].material;
    }
    return true;
}

/* Light that arrives from the sun along d. Glass lets it through, most in its middle, where a lens gathers it. */
static vec sunlight(vec o, vec d) {
    ray r = towards(o, d);
    vec light = sun_light;
    for (int i = 0; i < node_count;) {
        const node *n = &nodes[i];
        bool inside = enters(n, &r, FAR);
        for (int k = n->from; inside && k < n->to; k++) {
            const sphere *s = &spheres[k];
            if (meets(s, &r) >= FAR) continue;
            if (s->material.kind != GLASS) return v(0, 0, 0);
            vec oc = sub(s->centre, o), off = sub(oc, scale(d, dot(oc, d)));
            float middle = fmaxf(0, 1 - dot(off, off) / (s->radius * s->radius));
            light = scale(mul(light, mul(s->material.colour, s->material.colour)), 0.15f + 1.9f * middle * middle * middle);
        }
        i = inside ? i + 1 : n->skip;
    }
    return light;
}

static vec sky(vec d) {
    float up = clamp(d.y, 0, 1), toward = fmaxf(0, dot(d, sun)), toward8;
    vec c = mix(v(1.05f, 0.62f, 0.36f), v(0.42f, 0.52f, 0.78f), clamp(0.22f + 2.4f * up, 0, 1));
    c = mix(c, v(0.06f, 0.16f, 0.46f), clamp(up * 1.9f, 0, 1));
    toward8 = toward * toward, toward8 *= toward8, toward8 *= toward8;
    return add(c, scale(v(1.2f, 0.72f, 0.34f), 0.5f * toward8));
}

/* ---- light ---------------------------------------------------------------------------------- */

/* Share of light that a boundary mirrors (Schlick), the cosine taken on the thinner side. */
static float mirrored(float cosine) {
    float m = 1 - cosine, m2 = m * m;
    return 0.04f + 0.96f * m2 * m2 * m;
}

/* Radiance that arrives at o from direction d. */
static vec radiance(vec o, vec d, sampler *s) {
    vec light = v(0, 0, 0), weight = v(1, 1, 1);
    bool sees_sun = true; /* until a matte surface has counted it */
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        hit h;
        if (!trace(o, d, &h)) {
            light = add(light, mul(weight, sky(d)));
            bool at_sun = dot(d, sun) > 1 - 0.5f * SUN_SPREAD * SUN_SPREAD;
            if (sees_sun && at_sun) light = add(light, scale(mul(weight, sun_light), 8));
            break;
        }
        if (h.t > HAZE_FROM) {
            float clear = 1 / (1 + (h.t - HAZE_FROM) * (h.t - HAZE_FROM) * 0.0022f);
            light = add(light, scale(mul(weight, sky(v(d.x, 0, d.z))), 1 - clear));
            weight = scale(weight, clear);
        }

        bool first = depth == 0;
        float u = first ? stratified(s, 4) : uniform(s), w = first ? stratified(s, 5) : uniform(s);
        float choice = first ? stratified(s, 6) : uniform(s), facing = -dot(d, h.normal);
        float mirror = mirrored(fabsf(facing)), pick_mirror = 0.2f + 0.8f * mirror; /* more often: less noise */
        material m = h.material;
        if (m.kind == GLASS) {
            bool entering = facing > 0;
            vec n = entering ? h.normal : scale(h.normal, -1);
            float eta = entering ? 1 / GLASS_INDEX : GLASS_INDEX, c = fabsf(facing), k = 1 - eta * eta * (1 - c * c);
            if (k < 0 || choice < mirrored(entering ? c : sqrtf(k))) d = reflect(d, n);
            else d = unit(add(scale(d, eta), scale(n, eta * c - sqrtf(k)))), weight = mul(weight, m.colour);
            o = h.point;
        } else if (m.kind == METAL || choice < pick_mirror) {
            if (m.kind == METAL) weight = mul(weight, mix(m.colour, v(1, 1, 1), mirror - 0.04f));
            else weight = scale(weight, mirror / pick_mirror), sees_sun = sees_sun && m.rough == 0;
            d = reflect(d, h.normal);
            if (m.rough > 0) d = around(d, u, w, m.rough * 2);
            if (dot(d, h.normal) <= 0) break;
            o = h.point;
        } else {
            weight = scale(mul(weight, m.colour), (1 - mirror) / (1 - pick_mirror));
            float a = first ? stratified(s, 7) : uniform(s), b = first ? stratified(s, 8) : uniform(s);
            vec to_sun = around(sun, a, b, SUN_SPREAD);
            float slope = dot(to_sun, h.normal);
            o = add(h.point, scale(h.normal, EPSILON));
            if (slope > 0) light = add(light, mul(weight, scale(sunlight(o, to_sun), slope * 0.31830989f)));
            d = around(h.normal, u, w, 1), sees_sun = false;
        }
        if (depth >= 1) { /* Russian roulette */
            float keep = clamp(2 * largest(weight), 0.1f, 0.95f);
            if (uniform(s) >= keep) break;
            weight = scale(weight, 1 / keep);
        }
    }
    float peak = largest(light); /* fireflies */
    return peak > 9 ? scale(light, 9 / peak) : light;
}

/* Filmic curve (a rational fit to ACES) and the display's gamma of 2. */
static float display(float x) {
    x *= 0.62f;
    return sqrtf(clamp(x * (2.51f * x + 0.03f) / (x * (2.43f * x + 0.59f) + 0.14f), 0, 1));
}

/* ---- picture -------------------------------------------------------------------------------- */

enum { MIN_SAMPLES = 16, CHECK_EVERY = 8 };
static const float TOLERANCE = 0.0055f; /* standard error of a displayed pixel at which sampling stops */

static vec pixel(int x, int y, int width, int height, int max_samples) {
    const vec eye = v(0.8f, 2.5f, 9.0f), target = v(0.0f, 0.86f, 0.0f);
    const float lens = 0.055f, zoom = 0.35f, focus = sqrtf(dot(sub(target, eye), sub(target, eye))) - 1.0f;
    vec forward = unit(sub(target, eye)), right = unit(cross(forward, v(0, 1, 0))), up = cross(right, forward);
    sampler s = sampler_for(x, y);
    vec sum = v(0, 0, 0);
    float mean = 0, spread = 0; /* of the displayed brightness (Welford) */
    int n = 0;
    while (n < max_samples) {
        next_sample(&s);
        float px = 2 * ((float)x + stratified(&s, 0)) / (float)width - 1;
        float py = 1 - 2 * ((float)y + stratified(&s, 1)) / (float)height;
        float lx, ly;
        disk(stratified(&s, 2), stratified(&s, 3), &lx, &ly);
        vec at = add(forward, add(scale(right, px * zoom * (float)width / (float)height), scale(up, py * zoom)));
        vec from = add(scale(right, lx * lens), scale(up, ly * lens));
        vec got = radiance(add(eye, from), unit(sub(scale(at, focus), from)), &s);
        sum = add(sum, got), n++;
        float shown = display(luminance(got)), delta = shown - mean;
        mean += delta / (float)n, spread += delta * (shown - mean);
        if (n >= MIN_SAMPLES && n % CHECK_EVERY == 0 && spread < TOLERANCE * TOLERANCE * (float)n * (float)(n - 1)) break;
    }
    return scale(sum, 1 / (float)n);
}

static int fail(const char *why) {
    fprintf(stderr, "raytrace: %s\nusage: raytrace <width> <height> <tile-size> <tile-index> <max-samples>\n", why);
    return 2;
}

int main(int argc, char **argv) {
    long arg[5];
    if (argc != 6) return fail("five numbers are needed");
    for (int i = 0; i < 5; i++) {
        char *end;
        arg[i] = strtol(argv[i + 1], &end, 10);
        bool number = end != argv[i + 1] && !*end, in_range = arg[i] >= (i == 3 ? 0 : 1) && arg[i] <= 1 << 20;
        if (!number || !in_range) return fail("a number is missing or out of range");
    }
    int width = (int)arg[0], height = (int)arg[1], size = (int)arg[2], max_samples = (int)arg[4];
    int columns = (width + size - 1) / size, rows = (height + size - 1) / size;
    if (arg[3] >= (long long)columns * rows) return fail("there is no such tile");
    int left = (int)arg[3] % columns * size, top = (int)arg[3] / columns * size;

    build_scene();
    build_tree(0, sphere_count);
    for (int y = top; y < top + size && y < height; y++) {
        for (int x = left; x < left + size && x < width; x++) {
            vec c = pixel(x, y, width, height, max_samples);
            float rgb[3] = {display(c.x), display(c.y), display(c.z)};
            for (int i = 0; i < 3; i++) putchar((int)(rgb[i] * 255 + 0.5f));
        }
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
