// SPDX-License-Identifier: MIT
/*
 * Reading an image: see reader.h. Nothing of the file is believed before it
 * has been checked: first the header's own hash, then every offset and size
 * against the size of the file, then the hashes of records and index, then
 * what they say.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lz4.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/hash.h"
#include "image/reader.h"

#define PAGE 4096u
#define ADDRESS_MAX (1ull << 56)
#define OLDER "use an older generation"

static int refuse(struct image_reader *r, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Behind the name of the file, which stands in r->error from the start. */
static int refuse(struct image_reader *r, int error, const char *format, ...)
{
	size_t used = strlen(r->name);
	va_list list;

	memcpy(r->error, r->name, used);
	va_start(list, format);
	vsnprintf(r->error + used, sizeof(r->error) - used, format, list);
	va_end(list);
	return error;
}

/* 0, -EIO with r->error when the file ends before, or -errno. */
static int read_at(struct image_reader *r, void *data, uint64_t length,
		   uint64_t offset)
{
	char *p = data;

	while (length) {
		ssize_t n = pread(r->fd, p, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return refuse(r, -errno,
				      ": cannot be read at %" PRIu64
				      ": %s: " OLDER,
				      offset, strerror(errno));
		if (n == 0)
			return refuse(r, -EIO,
				      ": truncated at %" PRIu64 " bytes: "
				      OLDER, offset);
		p += n;
		offset += (uint64_t)n;
		length -= (uint64_t)n;
	}
	return 0;
}

/* [offset, offset + length) lies behind the header and inside the file. */
static int inside(const struct image_header *h, uint64_t offset,
		  uint64_t length)
{
	return offset >= IMAGE_HEADER_SIZE && offset <= h->file_size &&
	       length <= h->file_size - offset;
}

static int check_header(struct image_reader *r, uint64_t size)
{
	struct image_header *h = &r->header;
	static const struct image_header nothing;

	if (size && memcmp(h, &nothing, sizeof(*h)) == 0)
		return refuse(r, -EIO, ": its writing was never finished: "
				       OLDER);
	if (memcmp(h->magic, IMAGE_MAGIC,
		   size < sizeof(h->magic) ? size : sizeof(h->magic)) != 0)
		return refuse(r, -EINVAL, ": this is no ckpt image");
	if (size < IMAGE_HEADER_SIZE)
		return refuse(r, -EIO,
			      ": truncated at %" PRIu64
			      " bytes, shorter than a header: " OLDER, size);
	if (h->version != IMAGE_VERSION)
		return refuse(r, -EINVAL,
			      ": image version %u, this program reads version "
			      "%u: use the ckpt that wrote it",
			      h->version, IMAGE_VERSION);
	if (h->header_size != sizeof(*h) ||
	    h->header_hash != image_header_hash(h))
		return refuse(r, -EIO, ": the header is damaged: " OLDER);
	if (h->arch != IMAGE_ARCH_X86_64)
		return refuse(r, -EINVAL,
			      ": image of another architecture (ELF machine "
			      "%u): restart it on such a machine", h->arch);
	if (h->page_size != PAGE)
		return refuse(r, -EINVAL,
			      ": image of a kernel with pages of %u bytes: "
			      "restart it on such a machine", h->page_size);
	if (h->features & ~IMAGE_FEATURES_KNOWN)
		return refuse(r, -EINVAL,
			      ": image needs features (%" PRIx64
			      ") unknown to this ckpt: use a newer one",
			      (uint64_t)(h->features & ~IMAGE_FEATURES_KNOWN));
	if (size < h->file_size)
		return refuse(r, -EIO,
			      ": truncated at %" PRIu64 " of %" PRIu64
			      " bytes: " OLDER, size, h->file_size);
	if (size > h->file_size)
		return refuse(r, -EIO,
			      ": %" PRIu64 " bytes longer than it was written: "
			      OLDER, size - h->file_size);
	return 0;
}

static int check_layout(struct image_reader *r)
{
	const struct image_header *h = &r->header;
	uint64_t blocks, extents;

	if (!inside(h, h->records_offset, h->records_length) ||
	    h->records_offset % 8 || h->records_length % 8 ||
	    !inside(h, h->index_offset, 0) || h->index_offset % 8 ||
	    h->index_offset < h->records_offset + h->records_length)
		goto bad;
	if (h->block_count > h->file_size / sizeof(struct image_block) ||
	    h->extent_count > h->file_size / sizeof(struct image_extent))
		goto bad;
	blocks = h->block_count * sizeof(struct image_block);
	extents = h->extent_count * sizeof(struct image_extent);
	if (blocks + extents != h->file_size - h->index_offset)
		goto bad;
	if (!memchr(h->computation, 0, sizeof(h->computation)))
		goto bad;
	return 0;
bad:
	return refuse(r, -EIO, ": sizes in the header make no sense: " OLDER);
}

/* Reads into new memory, 8 bytes longer and zero there. */
static void *load(struct image_reader *r, uint64_t length, uint64_t offset,
		  uint64_t hash, const char *what, int *error)
{
	char *data = calloc(1, length + 8);

	if (!data) {
		*error = refuse(r, -ENOMEM,
				": no memory for %" PRIu64 " bytes of %s",
				length, what);
		return NULL;
	}
	*error = read_at(r, data, length, offset);
	if (*error == 0 && image_hash(data, length) != hash)
		*error = refuse(r, -EIO, ": the %s are damaged: " OLDER, what);
	if (*error == 0)
		return data;
	free(data);
	return NULL;
}

static int check_records(struct image_reader *r)
{
	uint64_t length = r->header.records_length, at = 0, left;
	struct image_record head;

	while (at < length) {
		left = length - at;
		if (left < sizeof(head))
			goto bad;
		memcpy(&head, r->records + at, sizeof(head));
		left -= sizeof(head);
		if (head.length > left || (head.length + 7) / 8 * 8 > left)
			goto bad;
		at += sizeof(head) + (head.length + 7) / 8 * 8;
	}
	return 0;
bad:
	return refuse(r, -EIO, ": record at %" PRIu64 " makes no sense: "
			       OLDER, r->header.records_offset + at);
}

static int check_extents(const struct image_reader *r,
			 const struct image_block *b)
{
	uint64_t sum = 0, i;

	for (i = 0; i < b->extents; i++) {
		const struct image_extent *e =
			&r->extents[b->first_extent + i];

		if (e->addr % PAGE || e->length % PAGE || e->length == 0 ||
		    e->length > b->raw - sum || e->addr >= ADDRESS_MAX)
			return 0;
		sum += e->length;
	}
	return sum == b->raw;
}

static int check_block(const struct image_reader *r,
		       const struct image_block *b, uint64_t first_extent)
{
	const struct image_header *h = &r->header;

	if (b->raw == 0 || b->raw > IMAGE_BLOCK_MAX || b->raw % PAGE)
		return 0;
	if (b->stored == 0 || b->stored > b->raw ||
	    !inside(h, b->offset, b->stored) ||
	    b->offset + b->stored > h->index_offset ||
	    b->offset < h->records_offset + h->records_length)
		return 0;
	if (b->codec == IMAGE_RAW
		    ? b->stored != b->raw || b->offset % PAGE
		    : b->codec != IMAGE_LZ4)
		return 0;
	/* The extents of the blocks follow each other. */
	if (b->first_extent != first_extent ||
	    b->extents > h->extent_count - first_extent)
		return 0;
	return check_extents(r, b);
}

static int check_index(struct image_reader *r)
{
	uint64_t extent = 0, i;

	for (i = 0; i < r->header.block_count; i++) {
		if (!check_block(r, &r->blocks[i], extent))
			return refuse(r, -EIO,
				      ": block %" PRIu64 " of the index makes "
				      "no sense: " OLDER, i);
		extent += r->blocks[i].extents;
	}
	if (extent != r->header.extent_count)
		return refuse(r, -EIO, ": the index has extents of no block: "
				       OLDER);
	return 0;
}

static int read_header(struct image_reader *r)
{
	struct stat st;
	uint64_t size;
	int ret;

	if (fstat(r->fd, &st) < 0)
		return refuse(r, -errno, ": %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse(r, -EINVAL, ": not a regular file");
	size = (uint64_t)st.st_size;
	ret = read_at(r, &r->header,
		      size < sizeof(r->header) ? size : sizeof(r->header), 0);
	if (ret < 0)
		return ret;
	ret = check_header(r, size);
	return ret < 0 ? ret : check_layout(r);
}

int image_reader_open(struct image_reader *r, int dirfd, const char *path)
{
	const struct image_header *h = &r->header;
	char *index;
	int ret;

	memset(r, 0, sizeof(*r));
	snprintf(r->name, sizeof(r->name), "%s", path);
	r->fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY |
					    O_NONBLOCK);
	if (r->fd < 0)
		return refuse(r, -errno, ": %s", strerror(errno));
	ret = read_header(r);
	if (ret < 0)
		goto out;
	r->records = load(r, h->records_length, h->records_offset,
			  h->records_hash, "records", &ret);
	if (ret < 0)
		goto out;
	ret = check_records(r);
	if (ret < 0)
		goto out;
	index = load(r, h->file_size - h->index_offset, h->index_offset,
		     h->index_hash, "index entries", &ret);
	if (ret < 0)
		goto out;
	r->blocks = (void *)index;
	r->extents = (void *)(index + h->block_count * sizeof(*r->blocks));
	ret = check_index(r);
out:
	if (ret < 0)
		image_reader_close(r);
	return ret;
}

void image_reader_close(struct image_reader *r)
{
	free((void *)r->records);
	free((void *)r->blocks);
	r->records = NULL;
	r->blocks = NULL;
	r->extents = NULL;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

int image_reader_next(const struct image_reader *r, size_t *cursor,
		      struct image_record *record, const void **body)
{
	if (*cursor >= r->header.records_length)
		return 0;
	memcpy(record, r->records + *cursor, sizeof(*record));
	*body = r->records + *cursor + sizeof(*record);
	*cursor += sizeof(*record) + (record->length + 7) / 8 * 8;
	return 1;
}

/* ---- blocks ---- */

/* The bytes of a block stand in `stored`: do they make sense? Raw ones may be
 * read to where they belong at once, then out == stored. */
static int block_unpack(const struct image_block *b, const void *stored,
			void *out)
{
	if (image_hash(stored, b->stored) != b->hash)
		return -EIO;
	if (b->codec == IMAGE_RAW)
		return 0;
	if (LZ4_decompress_safe(stored, out, (int)b->stored, (int)b->raw) !=
	    (int)b->raw)
		return -EIO;
	return 0;
}

static int damaged(struct image_reader *r, uint64_t block)
{
	return refuse(r, -EIO,
		      ": block %" PRIu64 " at %" PRIu64 " is damaged: " OLDER,
		      block, r->blocks[block].offset);
}

/* Only hashed: nothing is unpacked. */
static int block_hash(struct image_reader *r, uint64_t block, void *out,
		      void *scratch)
{
	const struct image_block *b = &r->blocks[block];
	int ret = read_at(r, out, b->stored, b->offset);

	(void)scratch;
	if (ret == 0 && image_hash(out, b->stored) != b->hash)
		ret = damaged(r, block);
	return ret;
}

int image_reader_block(struct image_reader *r, uint64_t block, void *out,
		       void *scratch)
{
	const struct image_block *b = &r->blocks[block];
	void *stored = b->codec == IMAGE_RAW ? out : scratch;
	int ret = read_at(r, stored, b->stored, b->offset);

	if (ret < 0)
		return ret;
	return block_unpack(b, stored, out) < 0 ? damaged(r, block) : 0;
}

/* Threads of a verification take the next block each; a thread has a reader
 * of its own for the error line only. */
struct verify {
	struct image_reader *r;
	int (*block)(struct image_reader *r, uint64_t block, void *out,
		     void *scratch);
	pthread_mutex_t lock;
	uint64_t next;
	int error;
};

static void *verify_blocks(void *argument)
{
	struct verify *v = argument;
	struct image_reader mine = *v->r;
	unsigned char *out = malloc(2 * IMAGE_BLOCK_MAX);
	uint64_t i;
	int ret = 0;

	if (!out)
		ret = refuse(&mine, -ENOMEM, ": no memory to verify it");
	while (ret == 0) {
		pthread_mutex_lock(&v->lock);
		i = v->error ? mine.header.block_count : v->next++;
		pthread_mutex_unlock(&v->lock);
		if (i >= mine.header.block_count)
			break;
		ret = v->block(&mine, i, out, out + IMAGE_BLOCK_MAX);
	}
	free(out);
	if (ret < 0) {
		pthread_mutex_lock(&v->lock);
		if (!v->error) {
			v->error = ret;
			memcpy(v->r->error, mine.error, sizeof(mine.error));
		}
		pthread_mutex_unlock(&v->lock);
	}
	return NULL;
}

static int verify_all(struct verify *v, unsigned threads)
{
	pthread_t id[64];
	unsigned n, max = threads < 64 ? threads : 64;

	/* This thread is one of them; those that do not come are not needed. */
	for (n = 1; n < max && n < v->r->header.block_count; n++)
		if (pthread_create(&id[n], NULL, verify_blocks, v) != 0)
			break;
	verify_blocks(v);
	while (--n > 0)
		pthread_join(id[n], NULL);
	return v->error;
}

int image_reader_verify_blocks(struct image_reader *r, unsigned threads)
{
	struct verify v = {.r = r, .block = image_reader_block,
			   .lock = PTHREAD_MUTEX_INITIALIZER};

	return verify_all(&v, threads);
}

int image_reader_hash_blocks(struct image_reader *r, unsigned threads)
{
	struct verify v = {.r = r, .block = block_hash,
			   .lock = PTHREAD_MUTEX_INITIALIZER};

	return verify_all(&v, threads);
}
