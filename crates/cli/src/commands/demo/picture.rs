//! The picture: which tile is which task, and the PNG that the tiles make.

use std::{io::BufWriter, path::Path};

use anyhow::{Context, Result, ensure};

/// A picture cut into square tiles, numbered row by row; tiles at the right and bottom may be
/// smaller.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Pixels of a tile's side.
    pub tile: u32,
    /// Light paths per pixel.
    pub samples: u32,
}

impl Picture {
    /// Number of tiles.
    pub fn tiles(&self) -> u32 {
        self.across() * self.height.div_ceil(self.tile)
    }

    fn across(&self) -> u32 {
        self.width.div_ceil(self.tile)
    }

    /// Left, top, width and height of a tile, pixels.
    fn area(&self, tile: u32) -> (u32, u32, u32, u32) {
        let (left, top) = (tile % self.across() * self.tile, tile / self.across() * self.tile);
        (left, top, self.tile.min(self.width - left), self.tile.min(self.height - top))
    }

    /// Arguments of the ray tracer for a tile.
    pub fn argv(&self, tile: u32) -> Vec<Vec<u8>> {
        let numbers = [self.width, self.height, self.tile, tile, self.samples];
        std::iter::once("raytrace".to_owned())
            .chain(numbers.iter().map(u32::to_string))
            .map(String::into_bytes)
            .collect()
    }

    /// Joins the tiles' raw RGB bytes into the whole picture's.
    pub fn assemble<'a>(&self, tiles: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>> {
        let mut rgb = vec![0; (self.width * self.height * 3) as usize];
        let mut seen = 0;
        for (index, pixels) in (0..).zip(tiles) {
            ensure!(index < self.tiles(), "more tiles than the picture has");
            let (left, top, width, height) = self.area(index);
            ensure!(
                pixels.len() == (width * height * 3) as usize,
                "tile {index} has {} bytes instead of {}",
                pixels.len(),
                width * height * 3
            );
            for (row, line) in (top..).zip(pixels.chunks((width * 3) as usize)) {
                let at = ((row * self.width + left) * 3) as usize;
                rgb[at..at + line.len()].copy_from_slice(line);
            }
            seen += 1;
        }
        ensure!(seen == self.tiles(), "{seen} tiles of {}", self.tiles());
        Ok(rgb)
    }

    /// Writes RGB bytes as a PNG.
    pub fn write_png(&self, rgb: &[u8], path: &Path) -> Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).with_context(|| {
                failure!(Failed, "C-DEM-003", "cannot create {}", folder.display())
            })?;
        }
        let file = std::fs::File::create(path)
            .with_context(|| failure!(Failed, "C-DEM-003", "cannot write {}", path.display()))?;
        let mut encoder = png::Encoder::new(BufWriter::new(file), self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(rgb)?;
        writer.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_land_where_they_belong() {
        let picture = Picture { width: 5, height: 3, tile: 2, samples: 1 };
        assert_eq!(picture.tiles(), 6);
        let tiles: Vec<Vec<u8>> = (0..6)
            .map(|tile| {
                let (_, _, width, height) = picture.area(tile);
                vec![tile as u8; (width * height * 3) as usize]
            })
            .collect();
        let rgb = picture.assemble(tiles.iter().map(Vec::as_slice)).unwrap();
        let shown: Vec<u8> = rgb.chunks(3).map(|pixel| pixel[0]).collect();
        assert_eq!(shown, [0, 0, 1, 1, 2, 0, 0, 1, 1, 2, 3, 3, 4, 4, 5]);
        assert!(picture.assemble(tiles[..5].iter().map(Vec::as_slice)).is_err());
        assert!(picture.assemble(tiles.iter().rev().map(Vec::as_slice)).is_err());
    }
}
