//! Reads a crate's modules from its root down, and follows the names in each to the file that defines
//! them: through `use`, through aliases, and through what a module hands on with `pub use`.

use std::collections::{BTreeMap, BTreeSet};
use std::{fs, path};

use crate::names::{Names, Path};

/// A module as the parts of its path from the root on.
pub(crate) type ModulePath = Vec<String>;

/// All modules of a crate but those for tests alone.
pub(crate) struct House {
    modules: BTreeMap<ModulePath, Module>,
}

/// A module: a file, or part of one.
pub(crate) struct Module {
    /// Below the source folder.
    pub file: String,
    pub names: Names,
}

/// A name in one file of something that another path leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrow {
    /// The file that names it.
    pub from: String,
    /// Where, from 1 on.
    pub line: usize,
    /// What it names, from the crate's root on, or another crate's path.
    pub name: Vec<String>,
    /// The file that defines it; `None` for another crate's, and for a module named as such.
    pub to: Option<String>,
    /// A `pub use` of what lies below: it says where that is found, and uses nothing.
    pub hands_on: bool,
}

impl House {
    /// The crate whose root is `lib.rs` in `folder`.
    pub(crate) fn at(folder: &path::Path) -> Self {
        Self::of(|file| fs::read_to_string(folder.join(file)).ok())
    }

    /// The crate whose files' texts `read` gives, `None` where there is no such file.
    pub(crate) fn of(read: impl Fn(&str) -> Option<String>) -> Self {
        let mut house = Self { modules: BTreeMap::new() };
        let text = read("lib.rs").expect("the root of the crate");
        house.add(Vec::new(), "lib.rs", Names::of(&text), &read);
        house
    }

    fn add(
        &mut self,
        module: ModulePath,
        file: &str,
        mut names: Names,
        read: &impl Fn(&str) -> Option<String>,
    ) {
        for child in &names.children {
            let below = [&module[..], std::slice::from_ref(child)].concat();
            let stem = below.join("/");
            let places = [format!("{stem}.rs"), format!("{stem}/mod.rs")];
            let found = places.iter().find_map(|place| Some((place, read(place)?)));
            let (place, text) = found.unwrap_or_else(|| panic!("{file}: no file for mod {child}"));
            self.add(below, place, Names::of(&text), read);
        }
        for (child, inner) in std::mem::take(&mut names.inline) {
            let below = [&module[..], &[child]].concat();
            self.add(below, file, inner, read);
        }
        self.modules.insert(module, Module { file: file.to_owned(), names });
    }

    /// The files, each with the module that it is.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.modules.iter().map(|(path, module)| (module.file.as_str(), &path[..]))
    }

    /// Every name of something that is not defined where it is named.
    pub(crate) fn arrows(&self) -> BTreeSet<Arrow> {
        self.modules.iter().flat_map(|(path, module)| self.arrows_of(path, module)).collect()
    }

    fn arrows_of(&self, path: &ModulePath, module: &Module) -> Vec<Arrow> {
        let mut arrows = Vec::new();
        for import in &module.names.imports {
            let name = self.absolute(path, &import.path.parts, true);
            let hands_on = import.is_public && name.starts_with(&rooted(path));
            arrows.push(self.arrow(module, name.clone(), import.path.line, hands_on));
            // What is handed on may be used here as well.
            if let Some(line) = module.names.words.get(&import.name).filter(|_| hands_on) {
                arrows.push(self.arrow(module, name, *line, false));
            }
        }
        for Path { parts, line } in &module.names.paths {
            arrows.push(self.arrow(module, self.absolute(path, parts, false), *line, false));
        }
        arrows.retain(|arrow| arrow.to.as_ref() != Some(&arrow.from));
        arrows
    }

    fn arrow(&self, module: &Module, name: Vec<String>, line: usize, hands_on: bool) -> Arrow {
        let to = self.file_of(&name);
        Arrow { from: module.file.clone(), line, name, to, hands_on }
    }

    /// A path as written in `module`, from the crate's root on and with `crate` before it; another
    /// crate's path stays as it is.
    fn absolute(&self, module: &[String], parts: &[String], is_import: bool) -> Vec<String> {
        let (first, rest) = parts.split_first().expect("a path has parts");
        let up = |module: &[String]| module[..module.len().saturating_sub(1)].to_vec();
        let inner = match first.as_str() {
            "crate" => rest.to_vec(),
            "self" => [module, rest].concat(),
            "super" => {
                let n_supers = rest.iter().take_while(|part| *part == "super").count();
                let above = (0..=n_supers).fold(module.to_vec(), |module, _| up(&module));
                [&above[..], &rest[n_supers..]].concat()
            }
            _ => return self.relative(module, parts, is_import),
        };
        rooted(&inner)
    }

    /// A path that begins with a name: a module below, or what an import has bound.
    fn relative(&self, module: &[String], parts: &[String], is_import: bool) -> Vec<String> {
        let (first, rest) = parts.split_first().expect("a path has parts");
        let below = [module, &parts[..1]].concat();
        if self.modules.contains_key(&below) {
            return rooted(&[module, parts].concat());
        }
        let imports = &self.modules[module].names.imports;
        let bound =
            imports.iter().find(|import| import.name == *first && import.path.parts != parts);
        match bound.filter(|import| !is_import || import.path.parts[0] != *first) {
            Some(import) => {
                let mut path = self.absolute(module, &import.path.parts, true);
                path.extend_from_slice(rest);
                path
            }
            None => parts.to_vec(),
        }
    }

    /// The file of what `name` leads to; what a macro defines is in the module that the path names.
    fn file_of(&self, name: &[String]) -> Option<String> {
        let (path, item) = self.split(name)?;
        let named = || self.modules[path].file.clone();
        Some(self.definition(path, item, &mut BTreeSet::new()).unwrap_or_else(named))
    }

    /// The module and the item of a path in this crate; `None` for a module itself.
    fn split<'a>(&self, name: &'a [String]) -> Option<(&'a [String], &'a str)> {
        let inner = name.strip_prefix(&["crate".to_owned()])?;
        let is_module = |n: &usize| self.modules.contains_key(&inner[..*n]);
        let n_modules = (1..=inner.len()).take_while(is_module).count();
        Some((&inner[..n_modules], inner.get(n_modules)?))
    }

    /// The file that defines an item which is known in a module.
    fn definition(
        &self,
        path: &[String],
        item: &str,
        seen: &mut BTreeSet<(String, String)>,
    ) -> Option<String> {
        let module = &self.modules[path];
        if module.names.items.contains(item) {
            return Some(module.file.clone());
        }
        if !seen.insert((path.join("::"), item.to_owned())) {
            return None;
        }
        module.names.imports.iter().find_map(|import| {
            let mut name = self.absolute(path, &import.path.parts, true);
            match &*import.name {
                "*" => name.push(item.to_owned()),
                bound if bound == item => {}
                _ => return None,
            }
            let (path, item) = self.split(&name)?;
            self.definition(path, item, seen)
        })
    }
}

fn rooted(path: &[String]) -> Vec<String> {
    [&["crate".to_owned()], path].concat()
}
